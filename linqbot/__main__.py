"""The start of the command `linqbot`, also as `python -m linqbot`."""

import signal


def main() -> None:
    """Import the command line (`linqbot.cli.main`) and run it. Ctrl-C during the import ends the process at once."""
    # Nothing has been done so far, so there is nothing to report. A shell script lets programs in the background ignore
    # Ctrl-C, and that is left as it is.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from linqbot.cli import main as command_line

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command_line.main()


if __name__ == "__main__":
    main()

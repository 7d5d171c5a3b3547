"""The start of the command `linqbot`, also as `python -m linqbot`."""


def main() -> None:
    from linqbot.cli import main as command_line

    command_line.main()


if __name__ == "__main__":
    main()

"""Run the command `linqbot` as `python -m linqbot`."""

from linqbot.cli.main import main

if __name__ == "__main__":
    main()

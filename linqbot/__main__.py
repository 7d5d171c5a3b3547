"""`python -m linqbot` is `linqbot`."""

from linqbot.cli.main import main

if __name__ == "__main__":
    main()

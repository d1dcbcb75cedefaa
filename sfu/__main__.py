"""Entry point of the command `airside` and of `python -m sfu`; nothing imports it."""

from sfu.cli.main import main

if __name__ == "__main__":
    main()

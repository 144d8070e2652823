"""`python -m kiebot`: the same as the command `kiebot`."""

from kiebot.cli import main

if __name__ == "__main__":
    main()

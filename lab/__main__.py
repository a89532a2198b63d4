"""`python -m outgate.lab` is the command `outgate-lab`."""

from outgate.lab.cli import main

if __name__ == "__main__":
    main()

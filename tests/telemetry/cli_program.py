"""The program `pullwork`, as a module."""

from pullwork.cli.main import main

if __name__ == "__main__":
    main()

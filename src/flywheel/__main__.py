"""`python -m flywheel` is the `flywheel` command, for places where no console script is installed."""

from flywheel.cli import main

if __name__ == "__main__":
    main()

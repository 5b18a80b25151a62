"""`python -m amili_async`: the same as the command `amili`."""

from amili_async.cli import main

if __name__ == "__main__":
    main()

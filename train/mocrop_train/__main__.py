"""`python -m mocrop_train` is mocrop-train, as `torchrun -m` wants it."""

from mocrop_train.cli import main

if __name__ == "__main__":
    main(prog_name="mocrop-train")

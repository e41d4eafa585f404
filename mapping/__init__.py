"""The mapper: from a binary layer to a checked program for an accelerator."""

"""Whole networks: from the ids of word pieces to the class, as one program of docs/machine.md."""

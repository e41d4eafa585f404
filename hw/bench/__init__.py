"""The cocotb bench: runs a generated core on cases read from files and compares it with what the files expect."""

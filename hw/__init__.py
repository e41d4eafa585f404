"""The machine: its contract (arch, isa, program), its gateware, its bench."""

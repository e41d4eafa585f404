"""The binary model: training modules (torch), the fold to integers, the export, and the network file (no torch)."""

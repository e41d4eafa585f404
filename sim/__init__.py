"""The simulator: values (`sim.machine`), cycles (`sim.timing`), memory (`sim.memory`); the integer `sim.reference`.

Nothing is imported here: the timing model compiles itself on import, and most callers need only one of the modules.
"""

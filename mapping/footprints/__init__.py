"""What each instruction of a finished program touches, and the rules for its operands: part of the checker."""

"""The parts of each exercise that ship: inputs, oracle, comparison; one module a chapter."""

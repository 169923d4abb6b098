"""The parts of a painted street: what `segkit.data.streets` puts together."""

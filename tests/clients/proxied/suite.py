"""What the Python suites of this folder share: arguments, checks, how the outcome is told.

    SUITE.py HOST PORT USER DATABASE

A suite logs in without a password, as behind `countersign proxy`, and uses its driver as applications do. Prints how many
checks it made; or, on standard error, what was otherwise than expected, and ends with 1.
"""

import sys

# Larger than any buffer on the way.
LARGE = 3_000_000


class Suite:
    """Counts checks, and ends the program at the first that does not hold."""

    def __init__(self):
        self.host, port, self.user, self.database = sys.argv[1:5]
        self.port = int(port)
        self.checks = 0

    def equal(self, what, seen, expected):
        self.checks += 1
        if seen != expected:
            sys.exit(f"{what}: expected {shown(expected)}, saw {shown(seen)}")

    def raises(self, what, text, call):
        self.checks += 1
        try:
            seen = call()
        except Exception as error:  # noqa: BLE001: drivers have many kinds
            if text not in str(error):
                sys.exit(f"{what}: expected an error with {text!r}, saw {error!r}")
        else:
            sys.exit(f"{what}: expected an error with {text!r}, saw {shown(seen)}")

    def done(self):
        print(f"{self.checks} checks")


def shown(value):
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}... ({len(text)} characters)"

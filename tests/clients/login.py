"""What the Python clients of this folder share: the arguments, one query, and how the outcome is told.

    CLIENT.py HOST PORT USER CA_FILE DATABASE [IAM_HOST REGION]

The password or token is in the environment, TOKEN. Prints the row of the query as JSON; or, on standard error, the error's
number and message, and ends with 1.
"""

import json
import os
import sys
from argparse import ArgumentParser

QUERY = "select current_user(), user(), version()"


def run(connect, query=QUERY, signs=False):
    """Calls `connect` with the arguments and the token, and queries. `signs`: the driver makes the token itself."""
    parser = ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    for name in ["user", "ca", "database"] + (["iam_host", "region"] if signs else []):
        parser.add_argument(name)
    arguments = parser.parse_args()
    if not signs:
        arguments.token = os.environ["TOKEN"]
    try:
        connection = connect(arguments)
        try:
            cursor = connection.cursor()
            cursor.execute(query)
            print(json.dumps(cursor.fetchone()))
        finally:
            connection.close()
    except Exception as error:
        print(describe(error), file=sys.stderr)
        sys.exit(1)


def describe(error):
    """The server's number and message; where a driver wraps the error, of the innermost that has a number."""
    found = error
    while error is not None:
        # PyMySQL has the number as the first of `args`, Connector/Python as `errno`.
        number = getattr(error, "errno", None) or (error.args[0] if error.args else None)
        if isinstance(number, int):
            return f"{number} {getattr(error, 'msg', None) or error.args[-1]}"
        error = error.__cause__ or error.__context__
    return f"- {type(found).__name__}: {found}"

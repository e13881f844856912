"""Makes the folders with SDKs that most tests here want: CI does it beside the first tests, so that none waits."""

from __future__ import annotations

from tests.sdk import node, python_sdk


def main() -> None:
    """Make those that are missing."""
    for version in python_sdk.PACKAGES:
        python_sdk.folder(version)
    if not node.missing():
        node.folder()
        node.program(node.NEEDED)


if __name__ == "__main__":
    main()

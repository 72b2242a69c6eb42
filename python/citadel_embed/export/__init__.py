"""Make a model pack that the C library reads, from a sentence-transformers or transformers folder.

``python -m citadel_embed.export SOURCE DEST`` loads SOURCE with sentence-transformers, which stays the
reference throughout; traces its modules over texts laid end to end without padding (``packed``); writes
graph and weights apart (``pack``); reads both back and compares them with the reference before anything is
published. The format is docs/pack-format.md.
"""


class ExportError(Exception):
    """The model cannot be exported; the message is for the user."""


def reason(error: Exception) -> str:
    """The line of an exception that says most, which is all that fits in a message of ours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # TorchScript puts where it happened before what happened.
    return lines[-1 if "TorchScript interpreter" in lines[0] else 0]

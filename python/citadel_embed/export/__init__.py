"""Make a model pack that the C library reads, from a sentence-transformers or transformers folder.

``python -m citadel_embed.export SOURCE DEST`` loads SOURCE with sentence-transformers, which stays the
reference throughout; traces its modules over texts laid end to end without padding (``packed``); writes graph
and weights apart (``pack``); reads both back and compares them with the reference before anything is published.
The format is docs/pack-format.md.
"""


class ExportError(Exception):
    """The model cannot be exported; the message is for the user."""

"""The C interface from Python with nothing but ctypes: the similarity of two texts.

python ctypes_embed.py libcitadel_embed.so all-MiniLM-L6-v2
"""

import ctypes
import sys


class Error(ctypes.Structure):  # citadel_error
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("code", ctypes.c_int32),
        ("native_code", ctypes.c_int32),
        ("message", ctypes.c_char * 496),
    ]


def main(library, name, texts=(b"How do I reset my password?", b"Forgot the password: what now?")):
    citadel = ctypes.CDLL(library)
    # What is not declared would be passed and returned as a 32-bit int, handles and sizes included.
    handle, size, pointer = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
    citadel.citadel_engine_create.argtypes = [pointer] * 3
    citadel.citadel_engine_destroy.argtypes = [handle]
    citadel.citadel_model_load.argtypes = [handle, ctypes.c_char_p] + [pointer] * 3
    citadel.citadel_model_unload.argtypes = [handle]
    citadel.citadel_model_dim.argtypes = [handle]
    citadel.citadel_model_dim.restype = size
    citadel.citadel_model_embed.argtypes = (
        [handle, pointer, pointer, size] + [pointer, pointer, size] + [pointer] * 2
    )

    error = Error(size=ctypes.sizeof(Error))
    engine, model = handle(), handle()

    def call(function, *arguments):
        if function(*arguments, ctypes.byref(error)) != 0:
            raise RuntimeError(error.message.decode())

    try:
        call(citadel.citadel_engine_create, None, ctypes.byref(engine))
        call(citadel.citadel_model_load, engine, name.encode(), None, ctypes.byref(model))
        dim = citadel.citadel_model_dim(model)
        strings = (ctypes.c_char_p * len(texts))(*texts)
        out = (ctypes.c_float * (len(texts) * dim))()
        call(citadel.citadel_model_embed, model, strings, None, len(texts), None, out, len(out), None)
        print("dim", dim)
        print("similarity %.3f" % sum(out[i] * out[dim + i] for i in range(dim)))
    finally:
        citadel.citadel_model_unload(model)
        citadel.citadel_engine_destroy(engine)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: ctypes_embed.py LIBRARY MODEL")
    try:
        main(*sys.argv[1:])
    except (OSError, RuntimeError) as problem:
        sys.exit("ctypes_embed.py: %s" % problem)

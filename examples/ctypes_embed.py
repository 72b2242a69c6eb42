"""The C interface from Python with nothing but ctypes: ctypes_embed.py LIBRARY MODEL"""

import sys
from ctypes import CDLL, Structure, byref, c_char, c_char_p, c_float, c_int32, c_size_t, c_void_p, sizeof


class Error(Structure):  # citadel_error
    _fields_ = [("size", c_size_t), ("code", c_int32), ("native_code", c_int32), ("message", c_char * 496)]


def main(library, name, texts=(b"How do I reset my password?", b"Forgot the password: what now?")):
    citadel = CDLL(library)
    # What is not declared would be passed and returned as a 32-bit int, handles and sizes included.
    p, n = c_void_p, c_size_t
    citadel.citadel_engine_create.argtypes = [p, p, p]
    citadel.citadel_engine_destroy.argtypes = [p]
    citadel.citadel_model_load.argtypes = [p, c_char_p, p, p, p]
    citadel.citadel_model_unload.argtypes = [p]
    citadel.citadel_model_dim.argtypes, citadel.citadel_model_dim.restype = [p], n
    citadel.citadel_model_embed.argtypes = [p, p, p, n, p, p, n, p, p]
    error = Error(size=sizeof(Error))
    engine, model = c_void_p(), c_void_p()

    def call(function, *arguments):
        if function(*arguments, byref(error)) != 0:
            sys.exit(error.message.decode())

    call(citadel.citadel_engine_create, None, byref(engine))
    call(citadel.citadel_model_load, engine, name.encode(), None, byref(model))
    dim = citadel.citadel_model_dim(model)
    strings = (c_char_p * len(texts))(*texts)
    out = (c_float * (len(texts) * dim))()
    call(citadel.citadel_model_embed, model, strings, None, len(texts), None, out, len(out), None)
    print(f"dim {dim}\nsimilarity {sum(out[i] * out[dim + i] for i in range(dim)):.3f}")
    citadel.citadel_model_unload(model)
    citadel.citadel_engine_destroy(engine)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 3 else sys.exit("usage: ctypes_embed.py LIBRARY MODEL")

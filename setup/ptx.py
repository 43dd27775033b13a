"""Compiles src/codec/cuda/network.cu with NVRTC: ptx.py LIBNVRTC SOURCE OUTPUT.

PTX of the oldest architecture that this NVRTC still knows runs on all later ones, and needs the driver alone.
"""

import ctypes
import pathlib
import sys

library, source, output = sys.argv[1:]
nvrtc = ctypes.CDLL(library)


def check(status, program=None):
    if status == 0:
        return
    log = b""
    if program:
        size = ctypes.c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, buffer)
        log = buffer.value
    sys.exit(f"NVRTC: error {status}\n{log.decode()}")


text = pathlib.Path(source).read_bytes()
options = [b"--gpu-architecture=compute_60", b"--fmad=false", b"--ftz=false", b"--prec-div=true"]
program = ctypes.c_void_p()
check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"network.cu", 0, None, None))
check(nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)), program)
size = ctypes.c_size_t()
check(nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)))
ptx = ctypes.create_string_buffer(size.value)
check(nvrtc.nvrtcGetPTX(program, ptx))
pathlib.Path(output).write_bytes(ptx.value)

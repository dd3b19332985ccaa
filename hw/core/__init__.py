"""The core: what makes an accelerator of a GEMM engine, an attention engine and a vector unit."""

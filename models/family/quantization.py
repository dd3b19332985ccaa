"""`quantization_config` of config.json: how a checkpoint stores matrices that were quantized before."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from einloom.models.family.problems import problem


class QuantizedStorage(BaseModel):
    """How matrices of linear layers are stored.

    gptq : codes of `bits` in 32-bit words along the inputs; a scale and a zero point for each output and group of
        inputs (Frantar et al., ICLR 2023). "gptq" files hold zero points less one, "gptq_v2" files as they are.
    awq : codes of 4 bits in 32-bit words along the outputs, the even ones first (Lin et al., MLSys 2024).
    fp8 : E4M3 numbers, with a scale for each block of `weight_block_size`, or for the matrix.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    quant_method: Literal["gptq", "awq", "fp8"]
    bits: Literal[2, 4, 8] = 4
    checkpoint_format: Literal["gptq", "gptq_v2"] = "gptq"
    version: Literal["gemm", "GEMM"] = "gemm"
    weight_block_size: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _is_known(self) -> "QuantizedStorage":
        if self.quant_method == "awq" and self.bits != 4:
            raise problem(f"bits must be 4 with awq, not {self.bits}")
        if self.weight_block_size is not None and min(self.weight_block_size) < 1:
            raise problem("weight_block_size must be two numbers above 0")
        return self

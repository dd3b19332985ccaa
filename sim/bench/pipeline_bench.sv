// A pipeline without back-pressure in simulation: operands from a file, one a cycle, and its results into another.
//
// The placeholders @...@ come from sim/bench/pipeline.py.
//
//   operands.bin  words of operands, little-endian
//   results.hex   written: one line per result

`timescale 1ns / 1ps

module pipeline_bench (
    input  wire        clk,
    input  wire        rst,
    input  wire        start,
    input  wire [31:0] count,      // words of operands.bin
    output reg         done,
    output reg         timed_out,  // never
    output reg  [63:0] cycles
);
  localparam OPERANDS = @operand_bits@, RESULT = @result_bits@, LATENCY = @latency@;

  reg running = 0;
  integer operand_file, result_file, ignored;
  reg [OPERANDS-1:0] arriving;
  reg [OPERANDS-1:0] operands;
  wire [RESULT-1:0] result;

  @top@ part (
    .clk(clk),
    .rst(rst),
    @inputs@,
    .@output@(result)
  );

  always @(posedge clk) begin
    done <= 0;
    if (start) begin
      operand_file = $fopen("operands.bin", "rb");
      result_file = $fopen("results.hex", "w");
      running <= 1;
      timed_out <= 0;
      cycles <= 0;
    end else if (running) begin
      cycles <= cycles + 1;
      if (cycles < 64'(count)) begin
        ignored = $fread(arriving, operand_file);
        operands <= {<<8{arriving}};
      end
      if (cycles > LATENCY) $fwrite(result_file, "%h\n", result);
      if (cycles == 64'(count) + LATENCY) begin
        $fclose(operand_file);
        $fclose(result_file);
        running <= 0;
        done <= 1;
      end
    end
  end
endmodule

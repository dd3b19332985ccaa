// Everything around a vector unit in simulation: the vector memory, instructions from a file, results into another.
//
// A batch of instructions runs back to back. The placeholders @...@ come from sim/bench/vector.py.
//
//   memory.bin        words of the vector memory, little-endian
//   instructions.hex  one line each: tokens and fields
//   results.hex       written: one line per word: data, destination
//   done.hex     written: one line per instruction: the cycle in which it was complete, how many were busy till then,
//                    and its field `signal`

`timescale 1ns / 1ps

module vector_bench (
    input  wire        clk,
    input  wire        rst,
    input  wire        start,
    input  wire [31:0] instructions,  // lines of instructions.hex
    input  wire [31:0] seed,          // not 0
    input  wire [7:0]  stall,         // chance that an instruction is not there yet, and of a pause, in 1/256
    input  wire [31:0] limit,         // cycles after which a batch is given up
    output reg         done,
    output reg         timed_out,
    output reg  [63:0] cycles         // from start to the last instruction
);
  localparam WORD = @word_bits@, INSTRUCTION = @instruction_bits@, DESTINATION = @destination_bits@;
  localparam RESULT = 1 + DESTINATION + WORD, LATENCY = @read_latency@, VECTOR_SPACE = @vector_space@;
  localparam WRITE_LATENCY = @write_latency@;
  localparam DEPTH = 65536, MAX_INSTRUCTIONS = 4096;

  reg running = 0;
  reg [31:0] random;
  integer file, result_file, done_file, ignored, p, n;

  reg [WORD-1:0] memory [0:DEPTH-1];  // with the bytes turned, as $fread puts them there
  reg [INSTRUCTION+8-1:0] list [0:MAX_INSTRUCTIONS-1];
  reg [31:0] next;
  reg valid;
  wire ready;
  wire [INSTRUCTION+8-1:0] instruction = list[next];

  // Port 0 is a, 1 is b, 2 is c. What was not asked for is garbage.
  wire [15:0] address [0:2];
  wire [2:0] read;
  reg [WORD-1:0] data [0:2][1:LATENCY];
  wire [RESULT-1:0] result;
  wire unit_busy, unit_done, unit_idle;
  wire [7:0] signal;
  reg [63:0] busy;
  wire [DESTINATION-1:0] destination = result[1 +: DESTINATION];
  wire [WORD-1:0] word = result[1+DESTINATION +: WORD];
  // The fields of the destination from bit 0: space (3), token (8), outer (8), address (16).
  wire [16+WORD:0] write = {result[0] && destination[2:0] == VECTOR_SPACE, destination[19 +: 16], word};
  reg [16+WORD:0] writes [1:WRITE_LATENCY];  // what is on its way into the memory
  wire [16+WORD:0] arriving = WRITE_LATENCY == 1 ? write : writes[WRITE_LATENCY-1];

  @top@ unit (
    .clk(clk),
    .rst(rst),
    .instruction__payload(instruction[INSTRUCTION-1:0]),
    .instruction__valid(valid),
    .instruction__ready(ready),
    .tokens(instruction[INSTRUCTION +: 8]),
    .pause(random[15:8] < stall),
    .a__address(address[0]),
    .a__read(read[0]),
    .a__data(data[0][LATENCY]),
    .b__address(address[1]),
    .b__read(read[1]),
    .b__data(data[1][LATENCY]),
    .c__address(address[2]),
    .c__read(read[2]),
    .c__data(data[2][LATENCY]),
    .result(result),
    .busy(unit_busy),
    .done(unit_done),
    .signal(signal),
    .idle(unit_idle)
  );

  function [31:0] xorshift(input [31:0] x);
    reg [31:0] y;
    begin
      y = x ^ (x << 13);
      y = y ^ (y >> 17);
      xorshift = y ^ (y << 5);
    end
  endfunction

  always @(posedge clk) begin
    random <= xorshift(random);
    done <= 0;
    for (p = 0; p < 3; p = p + 1) begin
      data[p][1] <= read[p] ? {<<8{memory[address[p]]}} : {(WORD / 32){random}};
      for (n = 2; n <= LATENCY; n = n + 1) data[p][n] <= data[p][n-1];
    end
    writes[1] <= write;
    for (n = 2; n <= WRITE_LATENCY; n = n + 1) writes[n] <= writes[n-1];
    if (arriving[16+WORD] && running) memory[arriving[WORD +: 16]] <= {<<8{arriving[WORD-1:0]}};
    if (rst) begin
      running <= 0;
      valid <= 0;
      next <= 0;
    end else if (start) begin
      file = $fopen("memory.bin", "rb");
      ignored = $fread(memory, file, 0, DEPTH);
      $fclose(file);
      $readmemh("instructions.hex", list, 0, instructions - 1);
      result_file = $fopen("results.hex", "w");
      done_file = $fopen("done.hex", "w");
      random <= seed;
      for (n = 1; n <= WRITE_LATENCY; n = n + 1) writes[n] <= 0;  // nothing from the batch before
      running <= 1;
      timed_out <= 0;
      cycles <= 0;
      busy <= 0;
      next <= 0;
      valid <= 1;
    end else if (running) begin
      cycles <= cycles + 1;
      busy <= busy + 64'(unit_busy);
      if (result[0]) $fwrite(result_file, "%h %h\n", word, destination);
      if (unit_done) $fwrite(done_file, "%h %h %h\n", cycles, busy, signal);
      if (valid && ready) begin
        next <= next + 1;
        valid <= next + 1 < instructions && random[7:0] >= stall;
      end else if (!valid)
        valid <= next < instructions && random[7:0] >= stall;
      if ((next == instructions && unit_idle) || cycles >= 64'(limit)) begin
        timed_out <= cycles >= 64'(limit);
        $fclose(result_file);
        $fclose(done_file);
        running <= 0;
        valid <= 0;
        done <= 1;
      end
    end
  end
endmodule

// Everything around an attention engine in simulation: files as memories, random stalls, counters.
//
// A batch of jobs runs back to back. cocotb writes the files, sets the ports, pulses `start` and waits for `done`; it is
// never in the path of a beat. The placeholders @...@ come from the design's manifest (sim/bench/build.py).
//
//   jobs.hex     job words, one line each
//   queries.bin  words of the query buffer
//   keys.bin, values.bin  the beats of all jobs
//   outputs.hex  written: one line per beat of outputs

`timescale 1ns / 1ps

module attention_bench (
    input  wire        clk,
    input  wire        rst,
    input  wire        start,
    input  wire [31:0] jobs,          // lines of jobs.hex
    input  wire [31:0] words,         // of queries.bin
    input  wire [31:0] words_at,      // address of the first of them
    input  wire [31:0] keys,          // beats, all jobs together
    input  wire [31:0] values,
    input  wire [31:0] results,       // beats of outputs that the jobs will send
    input  wire [31:0] seed,          // not 0
    input  wire [7:0]  job_stall,     // chance of a stall in a cycle, in 1/256
    input  wire [7:0]  key_stall,
    input  wire [7:0]  value_stall,
    input  wire [7:0]  output_stall,
    input  wire [31:0] limit,         // cycles after which a batch is given up,
    input  wire [31:0] patience,      // ... and those after a word has last moved on any stream
    input  wire [15:0] mutant,        // the fault that is active in a design that has some; 0: none
    output reg         done,
    output reg         timed_out,
    output reg  [63:0] signature,     // of all ports in all cycles, from a design that has faults
    output reg  [63:0] cycles,        // from start to the last output
    output reg  [63:0] busy,          // cycles in which the 2D array was at work
    output reg  [63:0] row_busy,      // ... and the 1D row
    output reg  [31:0] unread,        // beats of keys and values that the engine left
    output reg  [31:0] reads,         // of the query buffer
    output reg  [31:0] early          // cycles in which the engine calls itself idle before its work is done
);
  localparam BEAT = @beat_bits@, WORD = @query_bits@, ADDRESS = @address_bits@;
  localparam JOB = @job_bits@, OUTPUTS = @output_bits@, DEPTH = 65536, MAX_JOBS = 1024;

  reg running;
  reg [31:0] quiet;  // cycles since a word moved
  reg [31:0] random;
  integer file, ignored;

  // Jobs and queries.
  reg [JOB-1:0] job_list [0:MAX_JOBS-1];
  reg [31:0] next_job;
  reg job_valid;
  wire job_ready;
  reg [WORD-1:0] memory [0:DEPTH-1];
  reg [WORD-1:0] queries;
  wire [ADDRESS-1:0] query_address;
  wire query_read;

  // Stream 0 is keys, 1 is values.
  integer beat_file [0:1];
  reg [31:0] beats_left [0:1];
  reg [BEAT-1:0] beat [0:1];
  reg [BEAT-1:0] arriving;
  reg [1:0] beat_valid;
  wire [1:0] beat_ready;
  wire [7:0] beat_stall [0:1];
  assign beat_stall[0] = key_stall;
  assign beat_stall[1] = value_stall;

  // Outputs.
  integer output_file;
  reg [31:0] results_left;
  reg output_ready;
  wire output_valid;
  wire [OUTPUTS-1:0] outputs;
  wire idle, engine_busy, engine_row_busy;

  @top@ engine (
    .clk(clk),
    .rst(rst),
    .job__payload(job_list[next_job]),
    .job__valid(job_valid),
    .job__ready(job_ready),
    .keys__payload({<<8{beat[0]}}),
    .keys__valid(beat_valid[0]),
    .keys__ready(beat_ready[0]),
    .values__payload({<<8{beat[1]}}),
    .values__valid(beat_valid[1]),
    .values__ready(beat_ready[1]),
    .query_address(query_address),
    .query_read(query_read),
    .queries(queries),
    .outputs__payload(outputs),
    .outputs__valid(output_valid),
    .outputs__ready(output_ready),
    .idle(idle),
    .busy(engine_busy),
    .row_busy(engine_row_busy)
  );

  // One xorshift32 serves all streams, each from bits of its own.
  function [31:0] xorshift(input [31:0] x);
    reg [31:0] y;
    begin
      y = x ^ (x << 13);
      y = y ^ (y >> 17);
      xorshift = y ^ (y << 5);
    end
  endfunction

  integer s;
  initial
    for (s = 0; s < 2; s = s + 1) beat_file[s] = 0;

  always @(posedge clk) begin
    random <= xorshift(random);
    done <= 0;
    if (rst) begin
      running <= 0;
      job_valid <= 0;
      next_job <= 0;
      beat_valid <= 0;
      output_ready <= 0;
    end else if (start) begin
      $readmemh("jobs.hex", job_list, 0, jobs - 1);
      file = $fopen("queries.bin", "rb");
      ignored = $fread(memory, file, words_at, words);
      $fclose(file);
      for (s = 0; s < 2; s = s + 1)
        if (beat_file[s] != 0) $fclose(beat_file[s]);
      beat_file[0] = $fopen("keys.bin", "rb");
      beat_file[1] = $fopen("values.bin", "rb");
      beats_left[0] <= keys;
      beats_left[1] <= values;
      beat_valid <= 0;
      output_file = $fopen("outputs.hex", "w");
      random <= seed;
      running <= 1;
      timed_out <= 0;
      cycles <= 0;
      quiet <= 0;
      busy <= 0;
      row_busy <= 0;
      reads <= 0;
      early <= 0;
      next_job <= 0;
      job_valid <= 1;
      results_left <= results;
    end else if (running) begin
      cycles <= cycles + 1;
      quiet <= (job_valid && job_ready) || |(beat_valid & beat_ready) || (output_valid && output_ready) ? 0 : quiet + 1;
      busy <= busy + 64'(engine_busy);
      row_busy <= row_busy + 64'(engine_row_busy);
      reads <= reads + 32'(query_read);

      if (idle && next_job == jobs && results_left != 0) early <= early + 1;
      if (job_valid && job_ready) begin
        next_job <= next_job + 1;
        job_valid <= next_job + 1 < jobs && random[31:24] >= job_stall;
      end else if (!job_valid)
        job_valid <= next_job < jobs && random[31:24] >= job_stall;

      for (s = 0; s < 2; s = s + 1) begin
        if (beat_valid[s] && beat_ready[s]) beat_valid[s] <= 0;
        if ((!beat_valid[s] || beat_ready[s]) && beats_left[s] != 0 && random[8 * s +: 8] >= beat_stall[s]) begin
          ignored = $fread(arriving, beat_file[s]);
          beat[s] <= arriving;
          beat_valid[s] <= 1;
          beats_left[s] <= beats_left[s] - 1;
        end
      end

      output_ready <= random[23:16] >= output_stall;
      if (output_valid && output_ready) begin
        $fwrite(output_file, "%h\n", outputs);
        results_left <= results_left - 1;
      end

      if ((results_left == 0 && idle && next_job == jobs) || cycles >= limit || quiet >= patience) begin
        timed_out <= cycles >= limit || quiet >= patience;
        unread <= beats_left[0] + beats_left[1] + 32'(beat_valid[0]) + 32'(beat_valid[1]);
        $fclose(output_file);
        running <= 0;
        job_valid <= 0;
        done <= 1;
      end
    end
    if (query_read) queries <= {<<8{memory[query_address[$clog2(DEPTH)-1:0]]}};
  end
endmodule

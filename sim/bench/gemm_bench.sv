// Everything around a GEMM engine in simulation: files as memories, random stalls, counters.
//
// A batch of jobs runs back to back. cocotb writes the files, sets the ports, pulses `start` and waits for `done`; it is
// never in the path of a beat. The placeholders @...@ come from the design's manifest (sim/bench/build.py).
//
//   jobs.hex         per job: activation base (32 bits) above the job word, one line each
//   activations.bin  step words
//   weights_<c>.bin  the beats of memory channel c
//   sums.hex         written: one line per beat of sums

`timescale 1ns / 1ps

module gemm_bench (
    input  wire        clk,
    input  wire        rst,
    input  wire        start,
    input  wire [31:0] jobs,          // jobs in jobs.hex
    input  wire [31:0] steps,         // words in activations.bin
    input  wire [31:0] beats,         // of every channel, all jobs together
    input  wire [31:0] weights_at,    // byte offset of the first beat in every channel's file
    input  wire [31:0] results,       // beats of sums that the jobs will send
    input  wire [31:0] seed,          // not 0
    input  wire [7:0]  weight_stall,  // chance of a stall in a cycle, in 1/256
    input  wire [7:0]  sums_stall,
    input  wire [7:0]  job_stall,
    input  wire [31:0] limit,         // cycles after which a batch is given up,
    input  wire [31:0] patience,      // ... and those after a word has last moved on any stream
    input  wire [15:0] mutant,        // the fault that is active in a design that has some; 0: none
    output reg         done,
    output reg         timed_out,
    output reg  [63:0] signature,     // of all ports in all cycles, from a design that has faults
    output reg  [63:0] cycles,        // from start to the last result
    output reg  [63:0] accepted,      // beats, all channels together
    output reg  [31:0] early          // cycles in which the engine calls itself idle before its work is done
);
  localparam BEAT = @beat_bits@, CHANNELS = @channels@, WORD = @activation_bits@, ADDRESS = @address_bits@;
  localparam JOB = @job_bits@, SUMS = @sums_bits@, DEPTH = 16384, MAX_JOBS = 1024;

  reg running;
  reg [31:0] quiet;  // cycles since a word moved
  reg [31:0] random;
  integer file, ignored;

  // Jobs.
  reg [JOB+31:0] job_list [0:MAX_JOBS-1];
  reg [31:0] next_job, base;
  reg job_valid;
  wire job_ready;
  wire [JOB-1:0] job_payload = job_list[next_job][JOB-1:0];

  // Activations.
  reg [WORD-1:0] memory [0:DEPTH-1];
  reg [WORD-1:0] activations;
  wire [ADDRESS-1:0] activation_address;
  wire activation_read;

  // Weights.
  integer weight_file [0:CHANNELS-1];
  reg [31:0] beats_left [0:CHANNELS-1];
  reg [BEAT-1:0] beat [0:CHANNELS-1];
  reg [BEAT-1:0] arriving;
  reg [CHANNELS-1:0] beat_valid;
  wire [CHANNELS-1:0] beat_ready;

  // Sums.
  integer sums_file;
  reg [31:0] results_left;
  reg sums_ready;
  wire sums_valid;
  wire [SUMS-1:0] sums;
  wire idle;

  @top@ engine (
    .clk(clk),
    .rst(rst),
    .job__payload(job_payload),
    .job__valid(job_valid),
    .job__ready(job_ready),
    @weight_ports@
    .activation_address(activation_address),
    .activation_read(activation_read),
    .activations(activations),
    .sums__payload(sums),
    .sums__valid(sums_valid),
    .sums__ready(sums_ready),
    .idle(idle)
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

  integer c;
  initial
    for (c = 0; c < CHANNELS; c = c + 1) weight_file[c] = 0;

  always @(posedge clk) begin
    random <= xorshift(random);
    done <= 0;
    if (rst) begin
      running <= 0;
      job_valid <= 0;
      beat_valid <= 0;
      sums_ready <= 0;
    end else if (start) begin
      $readmemh("jobs.hex", job_list, 0, jobs - 1);
      file = $fopen("activations.bin", "rb");
      ignored = $fread(memory, file, 0, steps);
      $fclose(file);
      for (c = 0; c < CHANNELS; c = c + 1) begin
        if (weight_file[c] != 0) $fclose(weight_file[c]);
        weight_file[c] = $fopen($sformatf("weights_%0d.bin", c), "rb");
        // Where nothing reads what it returns, Verilator drops the calls for all channels but the last one.
        if ($fseek(weight_file[c], weights_at, 0) != 0) $fatal(1, "weights_%0d.bin is too short", c);
        beats_left[c] <= beats;
        beat_valid[c] <= 0;
      end
      sums_file = $fopen("sums.hex", "w");
      random <= seed;
      running <= 1;
      timed_out <= 0;
      cycles <= 0;
      quiet <= 0;
      accepted <= 0;
      early <= 0;
      next_job <= 0;
      job_valid <= 1;
      results_left <= results;
    end else if (running) begin
      cycles <= cycles + 1;
      quiet <= (job_valid && job_ready) || |(beat_valid & beat_ready) || (sums_valid && sums_ready) ? 0 : quiet + 1;

      if (idle && next_job == jobs && results_left != 0) early <= early + 1;
      if (job_valid && job_ready) begin
        base <= job_list[next_job][JOB+31:JOB];
        next_job <= next_job + 1;
        job_valid <= next_job + 1 < jobs && random[31:24] >= job_stall;
      end else if (!job_valid)
        job_valid <= next_job < jobs && random[31:24] >= job_stall;

      for (c = 0; c < CHANNELS; c = c + 1) begin
        if (beat_valid[c] && beat_ready[c]) begin
          accepted = accepted + 1;
          beat_valid[c] <= 0;
        end
        if ((!beat_valid[c] || beat_ready[c]) && beats_left[c] != 0 && random[c % 16 +: 8] >= weight_stall) begin
          ignored = $fread(arriving, weight_file[c]);
          beat[c] <= arriving;
          beat_valid[c] <= 1;
          beats_left[c] <= beats_left[c] - 1;
        end
      end

      sums_ready <= random[23:16] >= sums_stall;
      if (sums_valid && sums_ready) begin
        $fwrite(sums_file, "%h\n", sums);
        results_left <= results_left - 1;
      end

      if ((results_left == 0 && idle && next_job == jobs) || cycles >= limit || quiet >= patience) begin
        timed_out <= cycles >= limit || quiet >= patience;
        $fclose(sums_file);
        running <= 0;
        job_valid <= 0;
        done <= 1;
      end
    end
    // The address was given with the read; a job's base changes only between its reads and the next job's.
    if (activation_read) activations <= {<<8{memory[base + 32'(activation_address)]}};
  end
endmodule

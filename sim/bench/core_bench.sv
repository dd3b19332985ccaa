// A core in simulation: a memory behind each port, and a master on its control port.
//
// A batch is one operation. cocotb sets the ports, pulses `start` and waits for `done`; it is never in the path of a
// beat. The placeholders @...@ come from the design's manifest (sim/bench/core.py). Memory 0 is the system's; memory
// c + 1 is that of weight channel c. sim/bench/axi_memory.sv says how files and memories go together.
//
//   writes.hex     what is written into registers: their addresses above 32 bits of data
//   registers.bin  what is read from them, 32 bits each
//   trace.txt      of a job: unit, instruction, first and last cycle of everything that was completed

`timescale 1ns / 1ps

module core_bench (
    input  wire        clk,
    input  wire        rst,
    input  wire        start,
    input  wire [2:0]  operation,
    input  wire [7:0]  writes,        // registers to write, before a job or after a reset
    input  wire [11:0] reads_from,    // first of those to read, when the job is done
    input  wire [7:0]  reads,
    input  wire [7:0]  memory,        // to load or dump
    input  wire [63:0] file_offset,
    input  wire [63:0] file_bytes,
    input  wire [15:0] latency,       // of the memories; see axi_memory.sv
    input  wire [15:0] bandwidth,
    input  wire [31:0] seed,
    input  wire [7:0]  stall,
    input  wire [15:0] refresh_every,
    input  wire [15:0] refresh_for,
    input  wire [7:0]  row_miss,
    input  wire [7:0]  row_again,
    input  wire        interleave,
    input  wire [31:0] error_read,
    input  wire [31:0] error_write,
    input  wire [7:0]  error_memory,  // which one gives those errors
    input  wire [31:0] abort_at,      // cycle of a job in which the host aborts it; 0: never
    input  wire [31:0] reset_at,      // ... in which everything but the memories' contents is reset
    input  wire [31:0] upset_at,      // ... in which a memory on the chip loses a bit, in a bench that has upsets
    input  wire [7:0]  upset_memory,
    input  wire [15:0] upset_word,    // all ones: each of them, in all cycles from then on
    input  wire [15:0] upset_bit,
    input  wire        tracing,       // write trace.txt: a line for each completed instruction
    @waves_ports@
    input  wire [31:0] limit,         // cycles after which an operation is given up
    input  wire [15:0] mutant,        // the fault that is active in a design that has some; 0: none
    output reg         done,
    output reg         timed_out,
    output reg  [63:0] signature,     // of all ports in all cycles, from a design that has faults
    output reg  [63:0] cycles,        // of the job
    output reg         was_reset,     // the job, by `reset_at`
    output wire [63:0] escaped,       // beats outside the memories and bursts outside the windows; broken rules of the bus
    output wire [63:0] violations
);
  localparam BEAT = @beat_bits@, CHANNELS = @channels@, SYSTEM_ID = @system_id_bits@, UNITS = @units@;
  localparam ACCESS = 0, LOAD = 1, DUMP = 2, RUN = 3, RESET = 4;
  localparam CTRL = 0, ABORT = @abort@, AP_DONE = 1;
  localparam IDLE = 0, WRITING = 1, STARTING = 2, POLLING = 3, READING = 4, RESETTING = 5, SETTLING = 6,
             RECOVERING = 7;

  // The control port's master.
  reg [11:0] awaddr, araddr;
  reg [31:0] wdata;
  reg awvalid, wvalid, arvalid;
  wire awready, wready, bvalid, arready, rvalid;
  wire [31:0] rdata;
  reg [2:0] state;
  reg running, started, aborted;
  reg [43:0] table_of_writes [0:255];
  integer next_write, next_read, file;
  reg [3:0] wait_left;
  reg [63:0] spent;
  wire core_rst = rst || state == RESETTING;

  wire loads = start && operation == LOAD, dumps = start && operation == DUMP;
  wire restarts = start && operation == RUN;

  wire [31:0] escapes [0:CHANNELS], strays [0:CHANNELS], breaks [0:CHANNELS];
  @memories@
  assign escaped = 64'(@escaped@);
  assign violations = 64'(@violations@);

  @top@ @instance@ (
    .@clock@(clk),
    .@reset@(@resetting@),
    .@control@_awaddr(awaddr), .@control@_awprot(3'd0), .@control@_awvalid(awvalid),
    .@control@_awready(awready),
    .@control@_wdata(wdata), .@control@_wstrb(4'hf), .@control@_wvalid(wvalid),
    .@control@_wready(wready),
    .@control@_bresp(), .@control@_bvalid(bvalid), .@control@_bready(1'b1),
    .@control@_araddr(araddr), .@control@_arprot(3'd0), .@control@_arvalid(arvalid),
    .@control@_arready(arready),
    .@control@_rdata(rdata), .@control@_rresp(), .@control@_rvalid(rvalid),
    .@control@_rready(1'b1),
    @ports@
    .interrupt()
  );

  task write(input [11:0] at, input [31:0] value);
    begin
      awaddr <= at;
      wdata <= value;
      awvalid <= 1;
      wvalid <= 1;
    end
  endtask

  task read(input [11:0] at);
    begin
      araddr <= at;
      arvalid <= 1;
    end
  endtask

  task poll;
    begin
      read(CTRL);
      state <= POLLING;
    end
  endtask

  task settle(input [2:0] where);
    begin
      wait_left <= 8;  // more than there are registers in a reset's way
      state <= where;
    end
  endtask

  task finish;
    begin
      if (file != 0) $fclose(file);
      file = 0;
      done <= 1;
      running <= 0;
      state <= IDLE;
    end
  endtask

  // The next step of an operation on registers: writes, the job, reads.
  task proceed;
    if (next_write < 32'(writes)) begin
      write(table_of_writes[next_write][43:32], table_of_writes[next_write][31:0]);
      next_write = next_write + 1;
      state <= WRITING;
    end else if (operation == RUN && !started) begin
      write(CTRL, 1);
      cycles <= 0;
      started = 1;
      running <= 1;
      state <= STARTING;
    end else if (next_read < 32'(reads)) begin
      read(reads_from + 12'(next_read << 2));
      next_read = next_read + 1;
      state <= READING;
    end else finish;
  endtask

  always @(posedge clk) begin
    done <= 0;
    if (awvalid && awready) awvalid <= 0;
    if (wvalid && wready) wvalid <= 0;
    if (arvalid && arready) arvalid <= 0;
    if (rst) begin
      state <= IDLE;
      awvalid <= 0;
      wvalid <= 0;
      arvalid <= 0;
      running <= 0;
      file = 0;
    end else if (start) begin
      cycles <= 0;
      spent <= 0;
      timed_out <= 0;
      was_reset <= 0;
      started = 0;
      aborted <= 0;
      next_write = 0;
      next_read = 0;
      if (writes != 0) $readmemh("writes.hex", table_of_writes, 0, 32'(writes) - 1);
      if (reads != 0) file = $fopen("registers.bin", "wb");
      case (operation)
        ACCESS, RUN: proceed;
        RESET: settle(RESETTING);
        default: settle(SETTLING);
      endcase
    end else if (state != IDLE) begin
      spent <= spent + 1;
      if (running) cycles <= cycles + 1;
      case (state)
        WRITING: if (bvalid) proceed;
        STARTING: if (bvalid) poll;
        POLLING: if (rvalid) begin
          if (rdata[AP_DONE]) begin
            running <= 0;
            proceed;
          end else if (abort_at != 0 && !aborted && cycles >= 64'(abort_at)) begin
            aborted <= 1;
            write(ABORT, 1);
            state <= STARTING;
          end else poll;
        end
        READING: if (rvalid) begin
          $fwrite(file, "%u", rdata);
          proceed;
        end
        default: begin
          wait_left <= wait_left - 1;
          if (wait_left == 1) begin
            if (state == RESETTING) settle(RECOVERING); else if (state == RECOVERING) proceed; else finish;
          end
        end
      endcase
      if (running && reset_at != 0 && cycles == 64'(reset_at)) begin
        awvalid <= 0;
        wvalid <= 0;
        arvalid <= 0;
        running <= 0;
        was_reset <= 1;
        next_read = 32'(reads);
        settle(RESETTING);
      end else if (spent >= 64'(limit)) begin
        timed_out <= 1;
        finish;
      end
    end
  end

  wire upset = running && upset_at != 0
      && (cycles == 64'(upset_at) || (upset_word == 16'hffff && cycles > 64'(upset_at)));
  @upsets@

  @waves@

  // What each unit did when: unit, instruction, first and last cycle.
  integer trace;
  reg [63:0] began [0:UNITS-1];
  reg [UNITS-1:0] at_work;
  reg was_running;
  wire [UNITS-1:0] presented = @machine@.presented;
  wire [UNITS-1:0] completed = @machine@.completed;
  wire [31:0] index [0:UNITS-1];
  @indices@
  integer u;
  always @(posedge clk) begin
    was_running <= running && tracing;
    if (running && tracing && !was_running) begin
      trace = $fopen("trace.txt", "w");
      at_work <= 0;
    end else if (was_running) begin
      for (u = 0; u < UNITS; u = u + 1) begin
        if (presented[u] && !at_work[u]) began[u] <= cycles;
        at_work[u] <= presented[u] && !completed[u];
        if (completed[u]) $fwrite(trace, "%0d %0d %0d %0d\n", u, index[u], at_work[u] ? began[u] : cycles, cycles);
      end
      if (!running) $fclose(trace);
    end
  end
endmodule

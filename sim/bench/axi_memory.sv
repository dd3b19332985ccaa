// A memory behind one AXI4 port, for simulation: latency, bandwidth, stalls, answers out of order, errors; and as a
// channel of DRAM has them, refreshes and rows that must be opened.
//
// A row is 1 KiB of a bank, and neighbouring rows are in different banks. A burst to a row that is not open waits
// `row_miss` cycles more, and at least `row_again` cycles after its bank opened another. A burst's further rows are
// opened while it runs. A refresh stops beats and closes all rows; those of memories of other NUMBERs come at other times.
//
// cocotb sets the knobs and has the contents loaded and written in bulk; it is never in the path of a beat. Knobs may
// change when the port is idle.
//
//   memory_<NUMBER>.bin   read at `load` into the bytes from `file_offset` on
//   memory_<NUMBER>.dump  written at `dump`: the `file_bytes` bytes from `file_offset` on
//
// Offsets and lengths are in bytes from BASE on and multiples of a beat; a shorter file leaves the rest as it is.

`timescale 1ns / 1ps

module axi_memory #(
    parameter DATA_BITS = 512,
    parameter ADDRESS_BITS = 64,
    parameter ID_BITS = 1,
    parameter SIZE = 65536,                 // beats
    parameter [ADDRESS_BITS-1:0] BASE = 0,  // address of the first byte
    parameter NUMBER = 0,                   // of this memory, in its files' names
    parameter OUTSTANDING = 64              // bursts of either kind that it takes before it answers; a power of two
) (
    input wire clk,
    input wire rst,

    input wire [15:0] latency,      // cycles from an accepted AR to its first beat, and from the last beat to B; at least 1
    input wire [15:0] bandwidth,    // beats in 256 cycles, both directions together; 0: no limit
    input wire [31:0] seed,         // of all that is random; 0: no stalls
    input wire [7:0]  stall,        // chance of a stall, in 1/256, for each channel and cycle
    input wire [15:0] refresh_every, // cycles from one refresh to the next; 0: none
    input wire [15:0] refresh_for,  // cycles that it lasts
    input wire [7:0]  row_miss,     // cycles that a row takes to open; 0: all rows are open at all times
    input wire [7:0]  row_again,    // cycles from one row of a bank to the next
    input wire        interleave,   // answer reads of different IDs in any order, beat by beat
    input wire [31:0] error_read,   // the burst since `restart` that is answered with SLVERR, from 1 on; 0: none
    input wire [31:0] error_write,
    input wire        restart,      // begin to count, and the random sequence
    input wire        load,
    input wire        dump,
    input wire [63:0] file_offset,
    input wire [63:0] file_bytes,
    input wire [63:0] window_base,  // bursts outside are counted in `strayed`; with a size of 0, none
    input wire [63:0] window_size,

    output reg [63:0] read_beats,
    output reg [63:0] write_beats,
    output reg [31:0] read_bursts,
    output reg [31:0] write_bursts,
    output reg [31:0] escaped,      // beats outside [BASE, BASE + SIZE); reads give 0, and both answer DECERR
    output reg [31:0] strayed,      // bursts that are announced and not wholly in the window
    output reg [31:0] violations,   // of the protocol: 4 KiB, size, alignment, kind of burst, WLAST

    input  wire [ID_BITS-1:0]      s_axi_arid,
    input  wire [ADDRESS_BITS-1:0] s_axi_araddr,
    input  wire [7:0]              s_axi_arlen,
    input  wire [2:0]              s_axi_arsize,
    input  wire [1:0]              s_axi_arburst,
    input  wire                    s_axi_arvalid,
    output reg                     s_axi_arready,
    output reg  [ID_BITS-1:0]      s_axi_rid,
    output reg  [DATA_BITS-1:0]    s_axi_rdata,
    output reg  [1:0]              s_axi_rresp,
    output reg                     s_axi_rlast,
    output reg                     s_axi_rvalid,
    input  wire                    s_axi_rready,
    input  wire [ID_BITS-1:0]      s_axi_awid,
    input  wire [ADDRESS_BITS-1:0] s_axi_awaddr,
    input  wire [7:0]              s_axi_awlen,
    input  wire [2:0]              s_axi_awsize,
    input  wire [1:0]              s_axi_awburst,
    input  wire                    s_axi_awvalid,
    output reg                     s_axi_awready,
    input  wire [DATA_BITS-1:0]    s_axi_wdata,
    input  wire [DATA_BITS/8-1:0]  s_axi_wstrb,
    input  wire                    s_axi_wlast,
    input  wire                    s_axi_wvalid,
    output reg                     s_axi_wready,
    output reg  [ID_BITS-1:0]      s_axi_bid,
    output reg  [1:0]              s_axi_bresp,
    output reg                     s_axi_bvalid,
    input  wire                    s_axi_bready
);
  localparam BYTES = DATA_BITS / 8, SHIFT = $clog2(BYTES), IDS = 1 << ID_BITS, PLACE = $clog2(OUTSTANDING);
  localparam [1:0] OKAY = 0, SLVERR = 2, DECERR = 3;
  localparam BEAT_COST = 256, SAVED = 1024;  // credit for a beat, and the most that is saved up
  localparam ROW_SHIFT = 10, BANK_BITS = 4, BANKS = 1 << BANK_BITS;  // of an HBM2 pseudo-channel: 1 KiB, 16 banks
  localparam APART = 401;  // cycles between the refreshes of neighbouring memories

  // $fread puts a file's first byte into the highest byte of a word, so words lie here with their bytes reversed.
  reg [DATA_BITS-1:0] memory [0:SIZE-1];

  // Read bursts: a queue for each ID, and the order of all for answers in order.
  reg [ADDRESS_BITS-1:0] read_at   [0:IDS*OUTSTANDING-1];
  reg [7:0]              read_left [0:IDS*OUTSTANDING-1];
  reg [63:0]             read_due  [0:IDS*OUTSTANDING-1];
  reg                    read_bad  [0:IDS*OUTSTANDING-1];
  reg [PLACE-1:0]        read_head [0:IDS-1];
  reg [31:0]             read_count[0:IDS-1];
  reg [ID_BITS-1:0]      order     [0:OUTSTANDING-1];
  reg [PLACE-1:0] order_head;
  reg [31:0] reads;  // bursts in all queues
  reg [ID_BITS-1:0] id, last_id;
  reg [ID_BITS+PLACE-1:0] at;
  reg found;

  // Write bursts, their beats, and the answers.
  reg [ADDRESS_BITS-1:0] write_at  [0:OUTSTANDING-1];
  reg [7:0]              write_left[0:OUTSTANDING-1];
  reg [ID_BITS-1:0]      write_id  [0:OUTSTANDING-1];
  reg                    write_bad [0:OUTSTANDING-1];
  reg [PLACE-1:0] write_head;
  reg [31:0] writes;
  reg lost;  // a beat of the burst lay outside
  reg [ID_BITS-1:0] answer_id  [0:OUTSTANDING-1];
  reg [1:0]         answer     [0:OUTSTANDING-1];
  reg [63:0]        answer_due [0:OUTSTANDING-1];
  reg [PLACE-1:0] answer_head;
  reg [31:0] answers;

  // Rows that are open, and when each bank may open the next.
  reg [BANKS-1:0] is_open;
  reg [ADDRESS_BITS-1:0] open_row [0:BANKS-1];
  reg [63:0] bank_free [0:BANKS-1];
  reg [BANK_BITS-1:0] bank;
  reg [31:0] refresh_left, refresh_next, wait_for;
  wire refreshing = refresh_left != 0;

  reg [63:0] now;
  reg [31:0] random;
  reg signed [31:0] credit;
  reg [DATA_BITS-1:0] word, beat;
  integer i, file, ignored;

  function [31:0] xorshift(input [31:0] x);
    reg [31:0] y;
    begin
      y = x ^ (x << 13);
      y = y ^ (y >> 17);
      xorshift = y ^ (y << 5);
    end
  endfunction

  function stalled(input [7:0] chance);
    stalled = random != 0 && chance < stall;
  endfunction

  function holds(input [ADDRESS_BITS-1:0] address);
    holds = ((address - BASE) >> SHIFT) < SIZE;  // below BASE, the difference wraps around to more than SIZE
  endfunction

  function [31:0] index(input [ADDRESS_BITS-1:0] address);
    index = 32'((address - BASE) >> SHIFT);
  endfunction

  function [31:0] strays(input [ADDRESS_BITS-1:0] address, input [7:0] len);
    strays = 32'(window_size != 0 && (64'(address) < window_base ||
        64'(address) - window_base + ((64'(len) + 1) << SHIFT) > window_size));
  endfunction

  // Broken rules of an announced burst.
  function [31:0] broken(input [ADDRESS_BITS-1:0] address, input [7:0] len, input [2:0] size, input [1:0] kind);
    broken = 32'(32'(address[11:0]) + ((32'(len) + 1) << SHIFT) > 4096) + 32'(32'(size) != SHIFT) +
        32'(kind != 2'b01) + 32'((address & ADDRESS_BITS'(BYTES - 1)) != 0);
  endfunction

  // Opens the row of an address; `wait_for` says how many cycles that takes.
  task open(input [ADDRESS_BITS-1:0] address);
    begin
      bank = BANK_BITS'(address >> ROW_SHIFT);
      wait_for = 0;
      if (row_miss != 0 && (!is_open[bank] || open_row[bank] != address >> (ROW_SHIFT + BANK_BITS))) begin
        wait_for = 32'(row_miss) + (bank_free[bank] > now ? 32'(bank_free[bank] - now) : 0);
        bank_free[bank] = now + 64'(wait_for) - 64'(row_miss) + 64'(row_again);
        is_open[bank] = 1;
        open_row[bank] = address >> (ROW_SHIFT + BANK_BITS);
      end
    end
  endtask

  // Opens all rows of a burst; `wait_for` is that of the first.
  task open_all(input [ADDRESS_BITS-1:0] address, input [7:0] len);
    begin
      for (i = 3; i > 0; i = i - 1)
        if (32'(address[ROW_SHIFT-1:0]) + ((32'(len) + 1) << SHIFT) > i << ROW_SHIFT)
          open(address + ADDRESS_BITS'(i << ROW_SHIFT));
      open(address);
    end
  endtask

  task refresh;
    begin
      if (refresh_left != 0) refresh_left = refresh_left - 1;
      if (refresh_every != 0) begin
        if (refresh_next == 0) begin
          refresh_left = 32'(refresh_for);
          refresh_next = 32'(refresh_every) - 1;
          is_open = 0;
        end else refresh_next = refresh_next - 1;
      end
    end
  endtask

  task accept_reads;
    if (s_axi_arvalid && s_axi_arready) begin
      id = s_axi_arid;
      at = {id, PLACE'(read_head[id] + PLACE'(read_count[id]))};
      read_bursts <= read_bursts + 1;
      read_at[at] = s_axi_araddr;
      read_left[at] = s_axi_arlen;
      open_all(s_axi_araddr, s_axi_arlen);
      read_due[at] = now + 64'(latency) + 64'(wait_for) - 1;
      read_bad[at] = read_bursts + 1 == error_read;
      strayed = strayed + strays(s_axi_araddr, s_axi_arlen);
      violations = violations + broken(s_axi_araddr, s_axi_arlen, s_axi_arsize, s_axi_arburst);
      order[PLACE'(order_head + PLACE'(reads))] = id;
      read_count[id] = read_count[id] + 1;
      reads = reads + 1;
    end
  endtask

  task answer_reads;
    if (s_axi_rvalid && s_axi_rready) begin
      read_beats <= read_beats + 1;
      credit = credit - BEAT_COST;
    end
    if (!s_axi_rvalid || s_axi_rready) begin
      found = 0;
      if (interleave) begin
        for (i = 0; i < IDS; i = i + 1)
          if (!found) begin
            id = ID_BITS'(32'(last_id) + 1 + i + 32'(random[12:5]));
            at = {id, read_head[id]};
            found = read_count[id] != 0 && read_due[at] <= now;
          end
      end else if (reads != 0) begin
        id = order[order_head];
        at = {id, read_head[id]};
        found = read_due[at] <= now;
      end
      found = found && credit >= BEAT_COST && !stalled(random[15:8]) && !refreshing;
      s_axi_rvalid <= found;
      if (found) begin
        last_id = id;
        word = holds(read_at[at]) ? memory[index(read_at[at])] : 0;
        s_axi_rid <= id;
        s_axi_rdata <= {<<8{word}};
        s_axi_rresp <= !holds(read_at[at]) ? DECERR : read_bad[at] ? SLVERR : OKAY;
        s_axi_rlast <= read_left[at] == 0;
        escaped = escaped + 32'(!holds(read_at[at]));
        read_at[at] = read_at[at] + BYTES;
        if (read_left[at] == 0) begin
          read_head[id] = read_head[id] + 1;
          read_count[id] = read_count[id] - 1;
          order_head = order_head + 1;
          reads = reads - 1;
        end else read_left[at] = read_left[at] - 1;
      end
    end
    s_axi_arready <= reads < OUTSTANDING && !stalled(random[7:0]);
  endtask

  task accept_writes;
    if (s_axi_awvalid && s_axi_awready) begin
      write_bursts <= write_bursts + 1;
      write_at[PLACE'(write_head + PLACE'(writes))] = s_axi_awaddr;
      write_left[PLACE'(write_head + PLACE'(writes))] = s_axi_awlen;
      write_id[PLACE'(write_head + PLACE'(writes))] = s_axi_awid;
      write_bad[PLACE'(write_head + PLACE'(writes))] = write_bursts + 1 == error_write;
      strayed = strayed + strays(s_axi_awaddr, s_axi_awlen);
      violations = violations + broken(s_axi_awaddr, s_axi_awlen, s_axi_awsize, s_axi_awburst);
      open_all(s_axi_awaddr, s_axi_awlen);
      writes = writes + 1;
    end
    if (s_axi_wvalid && s_axi_wready) begin
      write_beats <= write_beats + 1;
      credit = credit - BEAT_COST;
      store_beat;
      violations = violations + 32'(s_axi_wlast != (write_left[write_head] == 0));
      write_at[write_head] = write_at[write_head] + BYTES;
      if (write_left[write_head] == 0) begin
        answer_id[PLACE'(answer_head + PLACE'(answers))] = write_id[write_head];
        answer[PLACE'(answer_head + PLACE'(answers))] = lost ? DECERR : write_bad[write_head] ? SLVERR : OKAY;
        answer_due[PLACE'(answer_head + PLACE'(answers))] = now + 64'(latency) - 1;
        answers = answers + 1;
        lost = 0;
        write_head = write_head + 1;
        writes = writes - 1;
      end else write_left[write_head] = write_left[write_head] - 1;
    end
    s_axi_awready <= writes < OUTSTANDING && !stalled(random[23:16]);
    s_axi_wready <= writes != 0 && answers < OUTSTANDING && credit >= BEAT_COST && !stalled(random[31:24]) && !refreshing;
  endtask

  // A burst that is answered with SLVERR writes nothing.
  task store_beat;
    if (!holds(write_at[write_head])) begin
      escaped = escaped + 1;
      lost = 1;
    end else if (!write_bad[write_head]) begin
      word = memory[index(write_at[write_head])];
      beat = {<<8{word}};
      for (i = 0; i < BYTES; i = i + 1) if (s_axi_wstrb[i]) beat[8*i+:8] = s_axi_wdata[8*i+:8];
      memory[index(write_at[write_head])] = {<<8{beat}};
    end
  endtask

  task answer_writes;
    if (!s_axi_bvalid || s_axi_bready) begin
      found = answers != 0 && answer_due[answer_head] <= now && !stalled(random[27:20]);
      s_axi_bvalid <= found;
      if (found) begin
        s_axi_bid <= answer_id[answer_head];
        s_axi_bresp <= answer[answer_head];
        answer_head = answer_head + 1;
        answers = answers - 1;
      end
    end
  endtask

  task load_file;
    begin
      file = $fopen($sformatf("memory_%0d.bin", NUMBER), "rb");
      if (file == 0) $fatal(1, "memory_%0d.bin cannot be read", NUMBER);
      ignored = $fread(memory, file, 32'(file_offset >> SHIFT));
      $fclose(file);
    end
  endtask

  task dump_file;
    begin
      file = $fopen($sformatf("memory_%0d.dump", NUMBER), "wb");
      if (file == 0) $fatal(1, "memory_%0d.dump cannot be written", NUMBER);
      for (i = 0; i < 32'(file_bytes >> SHIFT); i = i + 1) begin
        word = memory[32'(file_offset >> SHIFT) + i];
        beat = {<<8{word}};
        $fwrite(file, "%u", beat);
      end
      $fclose(file);
    end
  endtask

  always @(posedge clk) begin
    now = now + 1;
    random <= restart || rst ? seed : xorshift(random);
    refresh;
    if (bandwidth == 0) credit = SAVED;
    else if (!refreshing) credit = credit + 32'(bandwidth) > SAVED ? SAVED : credit + 32'(bandwidth);
    if (rst || restart) begin
      read_beats <= 0;
      write_beats <= 0;
      read_bursts <= 0;
      write_bursts <= 0;
      escaped = 0;
      strayed = 0;
      violations = 0;
    end
    if (rst || restart) begin
      is_open = 0;
      refresh_left = 0;
      refresh_next = refresh_every == 0 ? 0 : (32'(NUMBER) * APART + seed) % 32'(refresh_every);
      for (i = 0; i < BANKS; i = i + 1) bank_free[i] = 0;
    end
    if (rst) begin
      now = 0;
      reads = 0;
      order_head = 0;
      last_id = 0;
      for (i = 0; i < IDS; i = i + 1) begin
        read_head[i] = 0;
        read_count[i] = 0;
      end
      writes = 0;
      write_head = 0;
      lost = 0;
      answers = 0;
      answer_head = 0;
      s_axi_arready <= 0;
      s_axi_rvalid <= 0;
      s_axi_awready <= 0;
      s_axi_wready <= 0;
      s_axi_bvalid <= 0;
    end else begin
      accept_reads;
      answer_reads;
      accept_writes;
      answer_writes;
    end
    if (load) load_file;
    if (dump) dump_file;
  end
endmodule

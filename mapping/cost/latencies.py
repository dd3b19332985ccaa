"""Cycles that the core's parts take, as their docstrings state them; a test holds them against hw.

All times of the cost model count cycles as the parts do: a stream's word is taken in the cycle in which it is valid and
ready, and a register has a new value in the cycle after.
"""

# hw/core/sequencer.py, unit_queue.py, permit_board.py, supervisor.py
FIRST_FETCH = 2  # from the start of a job to the program's first request
FETCH_BLOCK = 16  # instructions that are requested at once; another block is while no more than these are due
DISPATCH = 2  # from one instruction to the next, and from a beat to its first instruction
QUEUE_DEPTH = 16  # instructions that wait behind the one that a unit is presented with
QUEUE_LATENCY = 2  # from the sequencer's hand to the unit
PERMIT_LATENCY = 1  # from a permit given to the start of who waits for it
IDLE_LATENCY = 2  # from the last instruction's end to the barrier that waits for it

# hw/bus/window.py, burst_splitter.py, read_master.py, write_master.py
CROSSING = 1  # hw/buffers/skid.py, between machine and masters; none for weights, whose queue has registers
REQUEST_LATENCY = 4  # from an accepted request to ARVALID or AWVALID
MUX_LATENCY = 1  # hw/bus/read_mux.py, for a burst
READER_LATENCY = 3  # from memory's beat to the master's
READER_BEATS = 256  # that a read master may have asked for and its consumer not taken
READER_BURSTS = 16  # that it may have asked for and memory not wholly answered
MAX_BURST = 64  # beats of the longest burst
BURST_BYTES = 4096  # that it may span
WRITE_LATENCY = 1  # from a beat of the stream to W
ANSWER_LATENCY = 1  # from memory's last response to the master's word of it

# hw/buffers/beat_queue.py, gearbox.py
WEIGHT_QUEUE_LATENCY = 4
GEARBOX_LATENCY = 1

# hw/core/gemm_unit.py, sum_words.py
GEMM_START = 1  # from an instruction to the take of its first word
SUMS_LATENCY = 6  # from a beat of sums to its first word

# hw/vector: vector_unit.py, issue.py, lane.py, store_converter.py; hw/core/vector_memory.py, machine.py
VECTOR_START = 2  # from an instruction to the issue of its first slot
VECTOR_RESULT = 12  # from the issue of a slot to its result in the vector memory
VECTOR_CONVERT = 2  # more, to an integer in another memory
VECTOR_REUSE = 14  # from the issue of a slot to that of one that reads its result
ADD_LATENCY = 5  # of a lane's adder
READ_LATENCY = 2  # of the vector memory
PAUSE_CYCLES = 4  # the vector unit leaves one cycle in as many to others that wait

# hw/core/load_unit.py
LOAD_START = 2  # from an instruction to its first request
LOAD_REQUEST = 3  # from one request to the next
LOAD_END = 2  # from the last beat's take to the end: the word, and the state behind it

# hw/core/transfer.py, row_store.py, tile_store.py
STORE_REQUEST = 1  # from a `store` to its request
STORE_FETCH = READ_LATENCY + 1  # of a word, before its first beat
TILE_REQUEST = 4  # from a `store_kv` to its request
TILE_FETCH = 2  # from its request to its first beat
LANE_BEAT = 2  # of a beat on its way from an attention lane to a channel (hw/buffers/half_rate.py)

# hw/core/attention_unit.py, tile_reader.py, output_words.py, attention_lanes.py
ATTEND_START = 2  # from an instruction to the jobs of engine and reader
ATTEND_BLOCKS = 4  # instructions that are taken and not complete
TILE_FIRST = 1  # from a job to its first request
TILE_JOBS = 2  # that are requested and not wholly delivered
VALUE_QUEUE, SHORT_QUEUE = 3, 32  # of values (hw/buffers/fifo.py); 1 if it is no longer than the latter
ENGINE_START = 3  # from a job to the engine's first key
SPECIAL_STEPS = 2  # SCALE and the denominator's sum, beside those of the exponential
DRAIN_CYCLES = 3  # of the half epoch without a tile, which completes the last exponentials
OUTPUT_LATENCY = 6  # from a word's last elements to its first query's word
LANES_LATENCY = 5  # of AttentionLanes: 1 for the instruction, 2 for a word, 2 at the end

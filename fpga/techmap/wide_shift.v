// Wide shifts as one row of multiplexers per bit of the amount. Yosys' own mapping builds nested multiplexers and
// searches their trees, which takes minutes and gigabytes at 2,048 bits.
(* techmap_celltype = "$shr $shl $sshl $sshr" *)
module wide_shift (A, B, Y);
	parameter A_SIGNED = 0;
	parameter B_SIGNED = 0;
	parameter A_WIDTH = 1;
	parameter B_WIDTH = 1;
	parameter Y_WIDTH = 1;
	parameter _TECHMAP_CELLTYPE_ = "";

	localparam LEFT = _TECHMAP_CELLTYPE_ == "$shl" || _TECHMAP_CELLTYPE_ == "$sshl";
	localparam ARITHMETIC = A_SIGNED && _TECHMAP_CELLTYPE_ == "$sshr";
	localparam WIDTH = A_WIDTH > Y_WIDTH ? A_WIDTH : Y_WIDTH;

	input [A_WIDTH-1:0] A;
	input [B_WIDTH-1:0] B;
	output [Y_WIDTH-1:0] Y;

	wire _TECHMAP_FAIL_ = WIDTH < 512;

	wire fill = ARITHMETIC ? A[A_WIDTH-1] : 1'b0;
	wire [(B_WIDTH+1)*WIDTH-1:0] row;
	assign row[WIDTH-1:0] = {{(WIDTH-A_WIDTH+1){A_SIGNED ? A[A_WIDTH-1] : 1'b0}}, A};
	assign Y = row[B_WIDTH*WIDTH +: Y_WIDTH];

	genvar n;
	generate
		for (n = 0; n < B_WIDTH; n = n + 1) begin : stage
			wire [WIDTH-1:0] from = row[n*WIDTH +: WIDTH];
			wire [WIDTH-1:0] shifted;
			if (n >= 31 || (1 << n) >= WIDTH)
				assign shifted = {WIDTH{fill}};
			else if (LEFT)
				assign shifted = {from[WIDTH-1-(1<<n):0], {(1<<n){1'b0}}};
			else
				assign shifted = {{(1<<n){fill}}, from[WIDTH-1:(1<<n)]};
			assign row[(n+1)*WIDTH +: WIDTH] = B[n] ? shifted : from;
		end
	endgenerate
endmodule

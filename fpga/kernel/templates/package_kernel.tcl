# Packs the RTL as a Vitis kernel object:
#
#     vivado -mode batch -source scripts/package_kernel.tcl -tclargs OUTPUT.xo
#
# scripts/design.tcl says what the kernel is. Sources: UG1393 (2023.1), "RTL kernel development flow"; UG1118, IP packager.

if {[llength $argv] != 1} {
  error "usage: vivado -mode batch -source scripts/package_kernel.tcl -tclargs OUTPUT.xo"
}
set output [file normalize [lindex $argv 0]]
set root [file normalize [file join [file dirname [info script]] ..]]
source [file join $root scripts design.tcl]

if {[string range [version -short] 0 5] ne $tools} {
  error "this folder is for Vivado $tools, not [version -short]"
}
set work [file join [file dirname $output] package]
set ip [file join $work ip]
file mkdir $work

create_project -force kernel [file join $work project] -part $part
foreach name $sources {
  add_files -norecurse [file join $root rtl $name]
}
add_files -fileset constrs_1 -norecurse [file join $root constraints clock.xdc]
set_property USED_IN {synthesis out_of_context} [get_files [file join $root constraints clock.xdc]]
set_property top $kernel [current_fileset]
update_compile_order -fileset sources_1

ipx::package_project -root_dir $ip -vendor $vendor -library $library -taxonomy /KernelIP -import_files -set_current true
set core [ipx::current_core]
set_property name $kernel $core
set_property display_name $kernel $core
set_property version $kernel_version $core
set_property core_revision 1 $core
set_property sdx_kernel true $core
set_property sdx_kernel_type rtl $core
set_property vitis_drc {ctrl_protocol ap_ctrl_hs} $core
set_property ipi_drc {ignore_freq_hz true} $core
set_property supported_families {} $core
set_property auto_family_support_level level_2 $core

# Vitis refuses a port that is in no interface. Those of AXI the packager infers from the ports' names.
ipx::infer_bus_interface ap_clk xilinx.com:signal:clock_rtl:1.0 $core
ipx::infer_bus_interface ap_rst_n xilinx.com:signal:reset_rtl:1.0 $core
ipx::infer_bus_interface interrupt xilinx.com:signal:interrupt_rtl:1.0 $core
ipx::associate_bus_interfaces -busif $control -clock ap_clk $core
foreach {port mode} $memories {
  ipx::associate_bus_interfaces -busif $port -clock ap_clk $core
  # Without these the interconnect prepares for every kind of burst, and for two of them on their way.
  set interface [ipx::get_bus_interfaces $port -of_objects $core]
  foreach {name value} [concat $bursts READ_WRITE_MODE $mode] {
    set parameter [ipx::add_bus_parameter -quiet $name $interface]
    set_property value $value $parameter
    set_property value_source constant $parameter
  }
}
ipx::associate_bus_interfaces -clock ap_clk -reset ap_rst_n $core

# The register map, as Vitis' design rule checks want to see it: name, offset, bits, and the port of a pointer.
set map [ipx::get_memory_maps $control -of_objects $core]
set block [ipx::get_address_blocks reg0 -of_objects $map]
foreach entry $registers {
  lassign $entry name offset bits port
  set register [ipx::add_register $name $block]
  set_property address_offset $offset $register
  set_property size $bits $register
  if {$port ne ""} {
    set parameter [ipx::add_register_parameter ASSOCIATED_BUSIF $register]
    set_property value $port $parameter
  }
}

ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity -kernel -xrt $core
ipx::save_core $core
close_project

file delete -force $output
package_xo -xo_path $output -kernel_name $kernel -ip_directory $ip -kernel_xml [file join $root kernel.xml] \
  -ctrl_protocol ap_ctrl_hs

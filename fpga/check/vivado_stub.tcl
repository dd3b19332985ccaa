# Vivado's commands as far as our scripts use them: arguments are checked, and what they would do is kept as plain data.
#
#     vivado_stub.tcl TOP_MODULE.v SCRIPT ?ARGUMENT ...?
#
# Objects are strings such as {file /a/b.v} or {register CTRL}. Sources: UG835 (2023.1), Vivado Tcl commands; UG1118.

namespace eval vivado {
  variable commands  ;# name -> options with a value, flags, fewest and most other arguments
  variable files {}
  variable registers {}
  variable clocked {}
  variable interfaces {}  ;# single ports that are interfaces
  variable identity  ;# vendor, library, name and version of the core
  variable project 0
  variable core 0
  variable top ""
  variable ports {}  ;# of the top module
  variable filesets {sources_1 constrs_1 sim_1}
  variable kinds {
    xilinx.com:signal:clock_rtl:1.0 xilinx.com:signal:reset_rtl:1.0 xilinx.com:signal:interrupt_rtl:1.0
  }
  variable bus_parameters {
    SUPPORTS_NARROW_BURST HAS_BURST MAX_BURST_LENGTH NUM_READ_OUTSTANDING NUM_WRITE_OUTSTANDING READ_WRITE_MODE
  }
  variable properties
  array set properties {
    fileset {top include_dirs verilog_define generic}
    project {part board_part source_mgmt_mode}
    file {USED_IN PROCESSING_ORDER file_type}
    core {name display_name version core_revision sdx_kernel sdx_kernel_type vitis_drc ipi_drc supported_families
          auto_family_support_level}
    register {address_offset size}
    parameter {value value_source}
    cell {USER_SLR_ASSIGNMENT}
    run {{STEPS.SYNTH_DESIGN.ARGS.MORE OPTIONS}}
  }

  proc declare {name options flags least most} {
    variable commands
    set commands($name) [list $options $flags $least $most]
    proc ::$name {args} "return \[::vivado::call $name \$args\]"
  }

  proc call {name arguments} {
    variable commands
    lassign $commands($name) options flags least most
    set given [dict create]
    set rest {}
    while {[llength $arguments]} {
      set arguments [lassign $arguments word]
      if {$word in $flags} {
        dict set given $word 1
      } elseif {$word in $options} {
        if {![llength $arguments]} {error "$name: $word needs a value"}
        set arguments [lassign $arguments value]
        dict set given $word $value
      } elseif {[regexp {^-[a-zA-Z]} $word]} {
        error "$name: unknown option $word"
      } else {
        lappend rest $word
      }
    }
    if {[llength $rest] < $least || [llength $rest] > $most} {
      error "$name: takes $least to $most arguments, not [llength $rest]: $rest"
    }
    set handler ::vivado::do_[string map {:: _} $name]
    if {[llength [info procs $handler]]} {return [$handler $given {*}$rest]}
    return ""
  }

  proc need_project {} {
    variable project
    if {!$project} {error "no project is open"}
  }

  proc need_core {object} {
    variable core
    if {!$core || [lindex $object 0] ne "core"} {error "there is no IP core [list $object]"}
  }

  proc is_bus {name} {
    variable ports
    return [expr {[lsearch -regexp $ports "^${name}_(ar|aw)addr\$"] >= 0}]
  }

  proc read_ports {path} {
    variable ports
    set file [open $path]
    set text [read $file]
    close $file
    set pattern {^\s*(?:input|output)\s+(?:(?:wire|reg)\s+)?(?:\[[^\]]*\]\s*)?(\w+)\s*[,;]?$}
    foreach {- name} [regexp -all -inline -line $pattern $text] {lappend ports $name}
  }

  proc do_version {given} {return 2023.1}

  proc do_create_project {given args} {
    variable project
    if {[dict exists $given -part] && ![string match xc* [dict get $given -part]]} {
      error "create_project: no part [dict get $given -part]"
    }
    set project 1
  }

  proc add {name} {
    variable files
    need_project
    if {![file isfile $name]} {error "no file $name"}
    lappend files [file normalize $name]
  }

  proc do_add_files {given names} {
    variable filesets
    if {[dict exists $given -fileset] && [dict get $given -fileset] ni $filesets} {
      error "add_files: no fileset [dict get $given -fileset]"
    }
    foreach name $names {add $name}
  }
  proc do_read_verilog {given names} {foreach name $names {add $name}}
  proc do_read_xdc {given names} {
    foreach name $names {
      add $name
      uplevel #0 [list source $name]
    }
  }
  proc do_get_files {given name} {
    variable files
    if {[file normalize $name] ni $files} {error "get_files: $name is not in the project"}
    return [list file $name]
  }
  proc do_current_fileset {given} {need_project; return {fileset sources_1}}
  proc do_get_filesets {given name} {
    variable filesets
    if {$name ni $filesets} {error "get_filesets: no fileset $name"}
    return [list fileset $name]
  }
  proc do_current_project {given} {need_project; return {project current}}
  proc do_get_runs {given name} {
    if {$name ni {synth_1 impl_1}} {error "get_runs: no run $name"}
    return [list run $name]
  }
  proc do_get_ports {given name} {
    variable ports
    if {$name ni $ports} {error "get_ports: no port $name"}
    return [list port $name]
  }
  proc do_get_cells {given args} {return {cell some}}
  proc do_create_clock {given target} {
    if {![dict exists $given -period] || ![string is double -strict [dict get $given -period]]} {
      error "create_clock: -period must be a number"
    }
    if {[lindex $target 0] ne "port"} {error "create_clock: [list $target] is no port"}
  }

  proc do_set_property {given args} {
    variable properties
    variable top
    if {[dict exists $given -name]} {
      set name [dict get $given -name]
      set value [dict get $given -value]
      set object [dict get $given -objects]
    } elseif {[llength $args] == 3} {
      lassign $args name value object
    } else {
      error "set_property: takes a name, a value and an object, not $args"
    }
    set kind [lindex $object 0]
    if {![info exists properties($kind)]} {error "set_property: [list $object] is no object"}
    if {$name ni $properties($kind)} {error "set_property: a $kind has no property $name"}
    if {$kind eq "fileset" && $name eq "top"} {set top $value}
    if {$object eq "parameter ASSOCIATED_BUSIF" && ![is_bus $value]} {
      error "set_property: no bus interface $value"
    }
    if {$object eq "parameter READ_WRITE_MODE"} {
      variable buses
      variable ports
      set wanted [expr {"$buses(READ_WRITE_MODE)_awaddr" in $ports ? "READ_WRITE" : "READ_ONLY"}]
      if {$name eq "value" && $value ne $wanted} {error "set_property: $buses(READ_WRITE_MODE) is $wanted, not $value"}
    }
    if {$kind eq "core" && $name in {name version}} {
      variable identity
      set identity($name) $value
    }
    if {$kind eq "register" && ![string is integer -strict $value]} {error "set_property: $name must be a number, not $value"}
  }

  proc do_ipx_package_project {given args} {
    variable core
    variable top
    need_project
    if {![dict exists $given -root_dir]} {error "ipx::package_project: -root_dir is needed"}
    if {$top eq ""} {error "ipx::package_project: the project has no top module"}
    variable identity
    foreach {key default} {vendor xilinx.com library user name "" version 1.0} {
      set identity($key) [expr {[dict exists $given -$key] ? [dict get $given -$key] : $default}]
    }
    set core 1
  }
  proc do_ipx_current_core {given} {need_core {core current}; return {core current}}
  proc do_ipx_associate_bus_interfaces {given object} {
    variable clocked
    variable ports
    need_core $object
    foreach option {-clock -reset} {
      if {[dict exists $given $option] && [dict get $given $option] ni $ports} {
        error "ipx::associate_bus_interfaces: no port [dict get $given $option]"
      }
    }
    if {[dict exists $given -busif]} {
      set name [dict get $given -busif]
      if {![is_bus $name]} {error "ipx::associate_bus_interfaces: no bus interface $name"}
      lappend clocked $name
    }
  }
  proc do_ipx_infer_bus_interface {given name kind object} {
    variable ports
    need_core $object
    variable interfaces
    variable kinds
    if {$name ni $ports} {error "ipx::infer_bus_interface: no port $name"}
    if {$kind ni $kinds} {error "ipx::infer_bus_interface: unknown kind $kind"}
    lappend interfaces $name
  }
  proc do_ipx_get_bus_interfaces {given name} {
    need_core [dict get $given -of_objects]
    if {![is_bus $name]} {error "ipx::get_bus_interfaces: no bus interface $name"}
    return [list bus $name]
  }
  proc do_ipx_add_bus_parameter {given name bus} {
    variable bus_parameters
    if {[lindex $bus 0] ne "bus"} {error "ipx::add_bus_parameter: [list $bus] is no bus interface"}
    if {$name ni $bus_parameters} {error "ipx::add_bus_parameter: unknown parameter $name"}
    variable buses
    set buses($name) [lindex $bus 1]
    return [list parameter $name]
  }
  proc do_ipx_get_memory_maps {given name} {
    if {![is_bus $name]} {error "ipx::get_memory_maps: no bus interface $name"}
    return [list map $name]
  }
  proc do_ipx_get_address_blocks {given name} {
    if {[lindex [dict get $given -of_objects] 0] ne "map"} {error "ipx::get_address_blocks: not of a memory map"}
    return [list block $name]
  }
  proc do_ipx_add_register {given name block} {
    variable registers
    if {[lindex $block 0] ne "block"} {error "ipx::add_register: [list $block] is no address block"}
    if {$name in $registers} {error "ipx::add_register: $name stands twice"}
    lappend registers $name
    return [list register $name]
  }
  proc do_ipx_add_register_parameter {given name register} {
    if {[lindex $register 0] ne "register"} {error "ipx::add_register_parameter: [list $register] is no register"}
    if {$name ne "ASSOCIATED_BUSIF"} {error "ipx::add_register_parameter: unknown parameter $name"}
    return [list parameter $name]
  }
  proc do_ipx_check_integrity {given object} {
    variable clocked
    variable registers
    variable ports
    need_core $object
    foreach port $ports {
      if {[regexp {^(\w+)_araddr$} $port - bus] && $bus ni $clocked} {
        error "ipx::check_integrity: bus interface $bus has no clock"
      }
    }
    if {"CTRL" ni $registers} {error "ipx::check_integrity: there is no register CTRL"}
    variable interfaces
    foreach port $ports {
      regexp {^\w+_axi_\w+?(?=_[a-z]+$)} $port bus
      if {$port ni $interfaces && !([info exists bus] && [is_bus $bus])} {
        error "ipx::check_integrity: port $port is in no interface"
      }
      unset -nocomplain bus
    }
  }
  proc do_close_project {given} {
    variable project
    need_project
    set project 0
  }
  proc do_package_xo {given} {
    foreach option {-xo_path -kernel_name -ip_directory -kernel_xml} {
      if {![dict exists $given $option]} {error "package_xo: $option is needed"}
    }
    if {![file isfile [dict get $given -kernel_xml]]} {error "package_xo: no file [dict get $given -kernel_xml]"}
    variable identity
    set name $identity(name)
    if {[dict get $given -kernel_name] ne $name} {
      error "package_xo: the IP is called $name, not [dict get $given -kernel_name]"
    }
    set vlnv $identity(vendor):$identity(library):$name:$identity(version)
    set file [open [dict get $given -kernel_xml]]
    set text [read $file]
    close $file
    if {![regexp {vlnv="([^"]*)"} $text - found] || $found ne $vlnv} {
      error "package_xo: the IP is $vlnv, and kernel_xml names another"
    }
    if {[dict get $given -ctrl_protocol] ni {ap_ctrl_hs ap_ctrl_chain ap_ctrl_none user_managed}} {
      error "package_xo: unknown protocol [dict get $given -ctrl_protocol]"
    }
    set file [open [dict get $given -xo_path] w]
    puts $file [dict get $given -kernel_name]
    close $file
  }
}

foreach {name options flags least most} {
  version {} {-short} 0 0
  create_project {-part} {-force -in_memory} 1 2
  add_files {-fileset} {-norecurse -quiet} 1 1
  read_verilog {-library} {-sv} 1 1
  read_xdc {} {-unmanaged} 1 1
  get_files {-of_objects} {-quiet} 1 1
  current_fileset {} {} 0 0
  get_filesets {} {-quiet} 1 1
  current_project {} {} 0 0
  get_runs {} {} 1 1
  get_ports {} {-quiet} 1 1
  get_cells {-filter} {-hierarchical -quiet} 0 1
  create_clock {-name -period} {} 1 1
  set_property {-name -value -objects} {-quiet} 0 3
  update_compile_order {-fileset} {} 0 0
  close_project {} {-delete} 0 0
  ipx::package_project {-root_dir -vendor -library -taxonomy -set_current} {-import_files -force} 0 0
  ipx::current_core {} {} 0 0
  ipx::associate_bus_interfaces {-busif -clock -reset} {} 1 1
  ipx::infer_bus_interface {} {} 3 3
  ipx::get_memory_maps {-of_objects} {} 1 1
  ipx::get_address_blocks {-of_objects} {} 1 1
  ipx::add_register {} {} 2 2
  ipx::add_register_parameter {} {} 2 2
  ipx::create_xgui_files {} {} 1 1
  ipx::update_checksums {} {} 1 1
  ipx::check_integrity {} {-kernel -xrt -quiet} 1 1
  ipx::get_bus_interfaces {-of_objects} {} 1 1
  ipx::add_bus_parameter {} {-quiet} 2 2
  ipx::save_core {} {} 1 1
  package_xo {-xo_path -kernel_name -ip_directory -kernel_xml -ctrl_protocol} {-force} 0 0
} {
  if {[string match ipx::* $name]} {namespace eval ::ipx {}}
  vivado::declare $name $options $flags $least $most
}

set argv [lassign $argv top_file script]
set argc [llength $argv]
vivado::read_ports $top_file
if {[catch {source $script} message options]} {
  set line [expr {[dict exists $options -errorline] ? [dict get $options -errorline] : 0}]
  regexp {\(file "[^"]*" line (\d+)\)} [dict get $options -errorinfo] - line
  puts stderr "[file tail $script]:$line: $message"
  exit 1
}

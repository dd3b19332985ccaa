"""kernel.xml: what Vitis and XRT know of a kernel.

Source: Vitis user guide UG1393 (2023.1), "RTL kernel XML file".
"""

import xml.etree.ElementTree as ET

from einloom.fpga.kernel.interface import CONTROL, CONTROL_RANGE, KernelInterface

VENDOR = "einloom"
LIBRARY = "kernel"
VERSION = "1.0"
POINTER_QUALIFIER, SCALAR_QUALIFIER = "1", "0"
WHOLE_SPACE = "0xFFFFFFFFFFFFFFFF"
SCALAR_TYPE, POINTER_TYPE = "uint", "void*"


def kernel_xml(kernel: KernelInterface) -> str:
    """The file's text."""
    root = ET.Element("root", versionMajor="1", versionMinor="6")
    element = ET.SubElement(
        root,
        "kernel",
        name=kernel.name,
        language="ip_c",
        vlnv=f"{VENDOR}:{LIBRARY}:{kernel.name}:{VERSION}",
        attributes="",
        preferredWorkGroupSizeMultiple="0",
        workGroupSize="1",
        interrupt="true",
        hwControlProtocol="ap_ctrl_hs",
    )
    ports = ET.SubElement(element, "ports")
    ET.SubElement(
        ports,
        "port",
        name=CONTROL,
        mode="slave",
        range=hex(CONTROL_RANGE),
        dataWidth="32",
        portType="addressable",
        base="0x0",
    )
    for memory in kernel.memories:
        ET.SubElement(
            ports,
            "port",
            name=memory.name,
            mode="master",
            range=WHOLE_SPACE,
            dataWidth=str(memory.data_bits),
            portType="addressable",
            base="0x0",
        )
    arguments = ET.SubElement(element, "args")
    for a in kernel.arguments:
        ET.SubElement(
            arguments,
            "arg",
            name=a.name,
            addressQualifier=POINTER_QUALIFIER if a.is_pointer else SCALAR_QUALIFIER,
            id=str(a.index),
            port=a.port,
            size=hex(a.size),
            offset=f"{a.offset:#05x}",
            type=POINTER_TYPE if a.is_pointer else SCALAR_TYPE,
            hostOffset="0x0",
            hostSize=hex(a.size),
        )
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"

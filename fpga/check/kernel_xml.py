"""kernel.xml against the manifest: every port, every argument, and where its register is."""

import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator

from einloom.fpga.kernel.interface import kernel_name
from einloom.spec.manifest import Manifest

CONTROL = "s_axi_control"
DATA_PORTS = {"slave": "wdata", "master": "rdata"}
FIXED = {
    ".": {"versionMajor": "1", "versionMinor": "6"},
    "kernel": {"language": "ip_c", "attributes": "", "preferredWorkGroupSizeMultiple": "0", "workGroupSize": "1"},
    "kernel/ports/port": {"portType": "addressable", "base": "0x0"},
    "kernel/args/arg": {"hostOffset": "0x0"},
}
"""Attributes that are the same in every RTL kernel."""
TYPE_BYTES = {"uint": 4, "void*": 8}


def kernel_xml_problems(text: str, manifest: Manifest) -> list[str]:
    """Entries of kernel.xml that do not fit the design."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        return [f"not XML: {error}"]
    kernel = root.find("kernel")
    if kernel is None:
        return ["there is no element kernel"]
    return [*_fixed(root), *_kernel(kernel, manifest), *_ports(kernel, manifest), *_arguments(kernel, manifest)]


def _fixed(root: ET.Element) -> Iterator[str]:
    for path, attributes in FIXED.items():
        for element in root.iterfind(path):
            name = element.get("name", "")
            for attribute, value in attributes.items():
                if element.get(attribute) != value:
                    found = element.get(attribute)
                    yield f"{element.tag} {name}".rstrip() + f": {attribute} is {found!r}, and {value!r} in RTL kernels"


def _kernel(kernel: ET.Element, manifest: Manifest) -> Iterator[str]:
    name = kernel.get("name", "")
    if name != kernel_name(manifest.digest):
        yield f"the kernel is called {name!r}; that of this config is {kernel_name(manifest.digest)}"
    if kernel.get("vlnv", "").split(":")[2:3] != [name]:
        yield f"vlnv {kernel.get('vlnv')!r} does not name the kernel {name!r}"
    if kernel.get("hwControlProtocol") != "ap_ctrl_hs":
        yield f"hwControlProtocol is {kernel.get('hwControlProtocol')!r}; the core speaks ap_ctrl_hs"
    has_interrupt = any(port.name == "interrupt" for port in manifest.ports)
    if kernel.get("interrupt") != str(has_interrupt).lower():
        yield f"interrupt is {kernel.get('interrupt')!r}; the design has {'one' if has_interrupt else 'none'}"


def _ports(kernel: ET.Element, manifest: Manifest) -> Iterator[str]:
    widths = {port.name: port.width for port in manifest.ports}
    prefixes = {name.rsplit("_", 1)[0] for name in widths if "_axi_" in name}
    found = {port.get("name", ""): port for port in kernel.iterfind("ports/port")}
    for name in sorted(prefixes - found.keys()):
        yield f"port {name} of the design is missing"
    for name, port in found.items():
        if name not in prefixes:
            yield f"port {name!r}: the design has none of that name"
            continue
        mode = "slave" if name == CONTROL else "master"
        if port.get("mode") != mode:
            yield f"port {name}: mode is {port.get('mode')!r}, not {mode!r}"
        width = widths[f"{name}_{DATA_PORTS[mode]}"]
        if port.get("dataWidth") != str(width):
            yield f"port {name}: dataWidth is {port.get('dataWidth')!r}; the design's is {width}"
    space = 1 << widths.get(f"{CONTROL}_awaddr", 0)
    if CONTROL in found and _number(found[CONTROL].get("range")) != space:
        yield f"port {CONTROL}: range is {found[CONTROL].get('range')!r}; the design decodes {space:#x}"


def _arguments(kernel: ET.Element, manifest: Manifest) -> Iterator[str]:
    pointers = {f"{port.name}_base": port.axi for port in manifest.core.ports}
    expected = _expected(manifest, pointers)
    elements = list(kernel.iterfind("args/arg"))
    names = [e.get("name", "") for e in elements]
    for name in expected.keys() - set(names):
        yield f"argument {name} is missing: the host could not set that register"
    if [e.get("id") for e in elements] != [str(n) for n in range(len(elements))]:
        yield f"the ids of the arguments are {', '.join(str(e.get('id')) for e in elements)}, not 0, 1, 2 and so on"
    for name, element in zip(names, elements, strict=True):
        if name not in expected:
            yield f"argument {name!r}: there is no such register that the host writes"
            continue
        offset, size = expected[name]
        if _number(element.get("offset")) != offset:
            yield f"argument {name}: offset is {element.get('offset')!r}; the register is at {offset:#x}"
        if _number(element.get("size")) != size:
            yield f"argument {name}: size is {element.get('size')!r}; it has {size} bytes"
        if _number(element.get("hostSize")) != size:
            yield f"argument {name}: hostSize is {element.get('hostSize')!r}, not its size"
        if TYPE_BYTES.get(element.get("type", "")) != size:
            yield f"argument {name}: type {element.get('type')!r} has not {size} bytes"
        port = pointers.get(name, CONTROL)
        if element.get("port") != port:
            yield f"argument {name}: port is {element.get('port')!r}, not {port!r}"
        qualifier = "1" if name in pointers else "0"
        if element.get("addressQualifier") != qualifier:
            kind = "a pointer" if name in pointers else "a scalar"
            yield f"argument {name}: addressQualifier is {element.get('addressQualifier')!r}; it is {kind}"


def _expected(manifest: Manifest, pointers: Collection[str]) -> dict[str, tuple[int, int]]:
    """Offset and bytes of each argument: pointers of 8, scalars of 4, so that wide registers are two of those."""
    expected = {}
    for register in (r for r in manifest.core.registers if r.access == "rw"):
        if register.name in pointers:
            expected[register.name] = (register.offset, 8)
            continue
        expected[register.name] = (register.offset, 4)
        if register.words == 2:
            expected[f"{register.name}_high"] = (register.offset + 4, 4)
    return expected


def _number(text: str | None) -> int | None:
    try:
        return int(text or "", 0)
    except ValueError:
        return None

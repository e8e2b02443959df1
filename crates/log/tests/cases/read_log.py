"""Reads a keys.<n>.log by docs/format.md alone, and prints each key that is there as a line of JSON.

    python3 read_log.py keys.1.log
"""
import base64
import json
import struct
import sys
import zlib

FILE_MAGIC, FRAME_MAGIC = b"BNALOG\r\n", b"BNAF"
HEADER, FRAME_HEADER, CHECKSUM, MOST = 64, 48, 4, 256 << 20
PUT, DELETE, CLEAR = 1, 2, 3


class Damaged(Exception):
    pass


def unpack(data, at):
    """One MessagePack value of those that a record is made of, and where the next one begins."""
    first = data[at]
    if first < 0x80:
        return first, at + 1
    if 0x90 <= first <= 0x9F:
        items, count = [], first & 0x0F
        at += 1
        for _ in range(count):
            item, at = unpack(data, at)
            items.append(item)
        return items, at
    integers, binaries = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I"}, {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
    form = integers.get(first) or binaries.get(first)
    if form is None:
        raise Damaged("0x%02x is no part of a record" % first)
    (number,) = struct.unpack_from(form, data, at + 1)
    at += 1 + struct.calcsize(form)
    if first in integers:
        return number, at
    if at + number > len(data):
        raise Damaged("a field is longer than the frame")
    return data[at : at + number], at + number


def records(payload):
    at = 0
    while at < len(payload):
        (kind, flags, key, label, value, checksum), at = unpack(payload, at)
        lengths = struct.pack("<I", len(key)), struct.pack("<I", len(label))
        if zlib.crc32(bytes([kind, flags]) + lengths[0] + key + lengths[1] + label + value) != checksum:
            raise Damaged("a record's checksum is wrong")
        yield kind, flags, key, label, value


def header(data):
    if len(data) < HEADER or data[:8] != FILE_MAGIC:
        raise Damaged("this is no log")
    if zlib.crc32(data[:60]) != struct.unpack_from("<I", data, 60)[0]:
        raise Damaged("the header's checksum is wrong")
    version, _, salt, _ = struct.unpack_from("<II8sQ", data, 8)
    if version != 1:
        raise Damaged("version %d is not known here" % version)
    return salt


def frame(data, at, salt):
    """Sequence, attested offset, payload and end of the whole frame that stands here, or None."""
    if at + FRAME_HEADER + CHECKSUM > len(data) or data[at : at + 4] != FRAME_MAGIC:
        return None
    its_salt, sequence, attested, length = struct.unpack_from("<8sQQI", data, at + 4)
    end = at + FRAME_HEADER + length
    if its_salt != salt or length > MOST or end + CHECKSUM > len(data) or attested > at:
        return None
    if zlib.crc32(data[at:end]) != struct.unpack_from("<I", data, end)[0]:
        return None
    return sequence, attested, data[at + FRAME_HEADER : end], end + CHECKSUM


def read(data):
    salt, at, last, keys = header(data), HEADER, 0, {}
    while True:
        found = frame(data, at, salt)
        if found is None or found[0] != last + 1:
            break
        last, _, payload, at = found
        for kind, flags, key, label, value in records(payload):
            if kind == PUT:
                keys[key] = label, flags, value
            elif kind == DELETE:
                keys.pop(key, None)
            elif kind == CLEAR:
                keys.clear()
            else:
                raise Damaged("there is no such change")
    later = data.find(FRAME_MAGIC + salt, at)
    while later >= 0:
        found = frame(data, later, salt)
        if found is not None and found[1] > at:
            raise Damaged("no good frame at %d, and a later one says that there was" % at)
        later = data.find(FRAME_MAGIC + salt, later + 1)
    return keys


def main():
    with open(sys.argv[1], "rb") as file:
        keys = read(file.read())
    text = lambda data: data.decode("utf-8", "backslashreplace")
    for key, (label, flags, value) in sorted(keys.items()):
        value = base64.b64encode(value).decode()
        print(json.dumps({"key": text(key), "label": text(label), "flags": flags, "value": value}))


main()

"""Reads mesh folders by the specification of neuroglancer, and measures meshes."""

import gzip
import json
import struct

import DracoPy
import numpy as np


def read_manifests(folder):
    """Return for each id its manifest, the file and the first byte of its fragments."""
    sharding = json.loads((folder / "info").read_text())["sharding"]
    count, found = 2 ** sharding["minishard_bits"], {}
    for path in folder.glob("*.shard"):
        data = path.read_bytes()
        for start, end in np.frombuffer(data, "<u8", 2 * count).reshape(-1, 2) + 16 * count:
            if start == end:
                continue
            index = np.frombuffer(gzip.decompress(data[start:end]), "<u8").reshape(3, -1)
            ids, sizes = np.cumsum(index[0], dtype=np.uint64), index[2]
            starts = 16 * count + np.cumsum(index[1]) + np.cumsum(sizes) - sizes
            for number, first, size in zip(ids, starts.tolist(), sizes.tolist(), strict=True):
                found[int(number)] = gzip.decompress(data[first : first + size]), path, first
    return found


def parse_manifest(manifest):
    """Return chunk shape, grid origin, scales, and nodes (x, y, z) and sizes of each level."""
    *head, levels = struct.unpack_from("<6fI", manifest)
    scales = np.frombuffer(manifest, "<f4", levels, 28)
    counts = np.frombuffer(manifest, "<u4", levels, 28 + 16 * levels)
    at, parts = 28 + 20 * levels, []
    for count in counts.tolist():
        rows = np.frombuffer(manifest, "<u4", 4 * count, at).reshape(4, count).astype(int)
        parts.append((rows[:3].T, rows[3]))
        at += 16 * count
    assert at == len(manifest)
    return np.array(head[:3]), np.array(head[3:]), scales, parts


def read_levels(folder, number):
    """Return the fragments of each level of an object: (node, steps of 65535 (x, y, z), faces)."""
    manifest, path, first = read_manifests(folder)[number]
    *_, parts = parse_manifest(manifest)
    data = path.read_bytes()
    at, levels = first - sum(sizes.sum() for _, sizes in parts), []
    for nodes, sizes in parts:
        levels.append([])
        for node, size in zip(nodes, sizes, strict=True):
            if size:
                mesh = DracoPy.decode(data[at : at + size])
                levels[-1].append((node, mesh.points.astype(int), np.asarray(mesh.faces, int)))
            at += size
    return levels


def read_nm(folder, number, level):
    """Return the vertices (x, y, z) of a level in nm, equal ones merged, and its faces."""
    info = json.loads((folder / "info").read_text())
    shape, origin, *_ = parse_manifest(read_manifests(folder)[number][0])
    corners = []
    for node, steps, faces in read_levels(folder, number)[level]:
        whole = node * 65535 + steps  # exact, so that equal vertices are equal
        corners.append(whole[faces])
    unique, rows = np.unique(np.concatenate(corners).reshape(-1, 3), axis=0, return_inverse=True)
    stored = origin + shape * 2**level * unique / 65535
    transform = np.array(info["transform"]).reshape(3, 4)
    return stored @ transform[:, :3].T + transform[:, 3], rows.reshape(-1, 3)


def volume_of(vertices, faces):
    """Return the volume within a closed mesh, negative if it is inside out."""
    a, b, c = vertices[faces.T].astype(float)
    return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6


def is_closed(faces):
    """Return whether each edge is passed as often in one direction as in the other."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ways = [np.unique(side, axis=0, return_counts=True) for side in (edges, edges[:, ::-1])]
    return all(np.array_equal(*pair) for pair in zip(*ways, strict=True))


def is_manifold(faces):
    """Return whether each edge has two triangles, one on each side."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return is_closed(faces) and len(np.unique(edges, axis=0)) == len(edges)


def triangles_of(vertices, faces):
    """Return a mesh as a set of triangles, each from its smallest vertex on."""
    corners = np.asarray(vertices)[faces].tolist()
    first = [one.index(min(one)) for one in corners]
    turned = [one[i:] + one[:i] for one, i in zip(corners, first, strict=True)]
    return {tuple(map(tuple, one)) for one in turned}

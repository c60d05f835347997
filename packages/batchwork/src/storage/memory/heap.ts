/** A binary heap whose members know their place, so any of them moves or leaves in O(log n). */

/** What a member carries. `index` belongs to the heap; -1 means not in one. */
export interface HeapNode {
  /** Smallest first. */
  at: number;
  /** Decides between equal `at`, smallest first. */
  order: number;
  index: number;
}

/** Members in order of `at`, then `order`. */
export class Heap<N extends HeapNode> {
  readonly #nodes: N[] = [];

  get size(): number {
    return this.#nodes.length;
  }

  /** The first member; stays. */
  peek(): N | undefined {
    return this.#nodes[0];
  }

  push(node: N): void {
    node.index = this.#nodes.length;
    this.#nodes.push(node);
    this.#rise(node);
  }

  /** Removes and returns the first member. */
  pop(): N | undefined {
    const first = this.#nodes[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** Removes a member; one that is not in the heap is left alone. */
  remove(node: N): void {
    const { index } = node;
    if (index < 0) return;
    node.index = -1;
    const last = this.#nodes.pop() as N;
    if (last === node) return;
    this.#put(last, index);
    this.update(last);
  }

  /** Moves a member to where its changed `at` and `order` belong. */
  update(node: N): void {
    this.#rise(node);
    this.#sink(node);
  }

  #rise(node: N): void {
    while (node.index > 0) {
      const parent = this.#nodes[(node.index - 1) >> 1] as N;
      if (!goesBefore(node, parent)) return;
      this.#swap(node, parent);
    }
  }

  #sink(node: N): void {
    for (;;) {
      const left = this.#nodes[2 * node.index + 1];
      if (left === undefined) return;
      const right = this.#nodes[2 * node.index + 2];
      const child = right !== undefined && goesBefore(right, left) ? right : left;
      if (!goesBefore(child, node)) return;
      this.#swap(node, child);
    }
  }

  #swap(a: N, b: N): void {
    const { index } = a;
    this.#put(a, b.index);
    this.#put(b, index);
  }

  #put(node: N, index: number): void {
    this.#nodes[index] = node;
    node.index = index;
  }
}

/** The order of a heap. */
export function goesBefore(a: HeapNode, b: HeapNode): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

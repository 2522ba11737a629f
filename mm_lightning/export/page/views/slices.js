// Long work in slices of time, so that the page answers in between.

const SLICE_MS = 12;

/** Let the browser draw and answer. */
function pause() {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** One long job at a time; starting another one ends the job before. */
export class Job {
  #generation = 0;

  /** End the job, if one runs. */
  stop() {
    this.#generation += 1;
  }

  /**
   * Take values from an iterator until it ends, `isEnough` or another job begins; null stands for work without a value.
   * `onSlice` is called after each slice with the values of the slice. Returns whether the job came to its end.
   */
  async run(iterator, isEnough, onSlice) {
    const own = (this.#generation += 1);
    await pause();
    while (own === this.#generation) {
      const values = [];
      const end = performance.now() + SLICE_MS;
      let isDone = false;
      while (!isDone && performance.now() < end) {
        const next = isEnough(values.length) ? { done: true } : iterator.next();
        isDone = Boolean(next.done);
        if (!isDone && next.value !== null) values.push(next.value);
      }
      onSlice(values, isDone);
      if (isDone) return true;
      await pause();
    }
    return false;
  }
}

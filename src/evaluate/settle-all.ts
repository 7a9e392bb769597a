/**
 * Waits for all of the work, then returns its results or throws its first failure, in the order of the work. Unlike with
 * `Promise.all` nothing goes on behind the caller, who may close what the work was writing to.
 */
export async function settleAll<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(work);
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}

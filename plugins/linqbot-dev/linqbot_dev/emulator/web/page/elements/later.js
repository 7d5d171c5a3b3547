// Modules that the phone can be used without. They load in the background once the first state is shown, so that they do
// not hold up the phone. A function of such a module that is called earlier waits for it.

/** @type {(() => Promise<unknown>)[]} */
const loads = [];

/**
 * Return a function that calls a function of a module that loads later.
 * @template {unknown[]} Args
 * @template Result
 * @param {() => Promise<(...args: Args) => Result>} load Imports the module and resolves to its function.
 * @returns {(...args: Args) => Promise<Result>}
 */
export function later(load) {
  loads.push(load);
  return (...args) => load().then((run) => run(...args));
}

/** Load all modules that load later. */
export const loadLater = () => Promise.all(loads.map((load) => load()));

/** What a page's life has for a client. */
export interface PageLife {
  /** The page may end at any moment, and nobody will say so. */
  hidden(): void;
  /** The network is back. */
  online(): void;
}

/** Whether this is a page, which ends without asking anybody. */
export const inPage = typeof document !== "undefined" && typeof addEventListener === "function";

/**
 * Tells of the page's life until the function that it returns is called. A page on a phone gets no event after
 * `visibilitychange`; one that is left for another gets `pagehide`, too, which some browsers send alone.
 */
export function watchPage(life: PageLife): () => void {
  const visibility = () => {
    if (document.visibilityState === "hidden") life.hidden();
  };
  const hide = () => life.hidden();
  const online = () => life.online();
  document.addEventListener("visibilitychange", visibility);
  addEventListener("pagehide", hide);
  addEventListener("online", online);
  return () => {
    document.removeEventListener("visibilitychange", visibility);
    removeEventListener("pagehide", hide);
    removeEventListener("online", online);
  };
}

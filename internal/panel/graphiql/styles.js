// Takes the place of react-style-singleton, which writes <style> elements: the
// content security policy forbids those, and allows style sheets made by script.

import { useEffect } from "react";

export const styleSingleton = () => {
  const sheet = new CSSStyleSheet();
  let users = 0;
  return ({ styles, dynamic }) => {
    useEffect(() => {
      if (users++ === 0) {
        sheet.replaceSync(styles);
        document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
      }
      return () => {
        if (--users === 0) document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
      };
    }, [styles && dynamic]);
    return null;
  };
};

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The state of a lead as bytes. */
final class Bytes {
    private Bytes() {}

    static final class Writer {
        private ByteBuffer buffer = ByteBuffer.allocate(2048);

        byte[] take() {
            byte[] taken = Arrays.copyOf(buffer.array(), buffer.position());
            buffer.clear();
            return taken;
        }

        void putByte(int value) {
            room(1).put((byte) value);
        }

        void putShort(int value) {
            room(2).putShort((short) value);
        }

        void putInt(int value) {
            room(4).putInt(value);
        }

        void putLong(long value) {
            room(8).putLong(value);
        }

        void putText(String text) {
            byte[] content = text.getBytes(StandardCharsets.UTF_8);
            putShort(content.length);
            room(content.length).put(content);
        }

        void putValue(Object value) {
            if (value == null) {
                putByte(0);
            } else if (value instanceof String) {
                putByte(1);
                putText((String) value);
            } else if (value instanceof Double) {
                putByte(2);
                putLong(Double.doubleToLongBits((Double) value));
            } else if (value instanceof Boolean) {
                putByte((Boolean) value ? 4 : 3);
            } else {
                List<?> names = (List<?>) value;
                putByte(5);
                putByte(names.size());
                for (Object name : names) {
                    putText((String) name);
                }
            }
        }

        private ByteBuffer room(int size) {
            if (buffer.remaining() < size) {
                ByteBuffer larger = ByteBuffer.allocate(2 * (buffer.position() + size));
                buffer.flip();
                larger.put(buffer);
                buffer = larger;
            }
            return buffer;
        }
    }

    static final class Reader {
        private final ByteBuffer buffer;

        Reader(byte[] content) {
            buffer = ByteBuffer.wrap(content);
        }

        int getByte() {
            return buffer.get();
        }

        int getShort() {
            return buffer.getShort() & 0xffff;
        }

        int getInt() {
            return buffer.getInt();
        }

        long getLong() {
            return buffer.getLong();
        }

        String getText() {
            int size = getShort();
            String text = new String(buffer.array(), buffer.position(), size, StandardCharsets.UTF_8);
            buffer.position(buffer.position() + size);
            return text;
        }

        Object getValue() {
            switch (getByte()) {
                case 1:
                    return getText();
                case 2:
                    return Double.longBitsToDouble(getLong());
                case 3:
                    return Boolean.FALSE;
                case 4:
                    return Boolean.TRUE;
                case 5:
                    int size = getByte();
                    List<String> names = new ArrayList<>(size);
                    for (int number = 0; number < size; number++) {
                        names.add(getText());
                    }
                    return names;
                default:
                    return null;
            }
        }
    }
}
